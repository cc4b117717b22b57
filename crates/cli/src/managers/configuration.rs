//! Which managers to run: `--manager BINARY[,ARGUMENT...]` and the file of `--managers`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::file::{self, FileError};

/// A wrong option or file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file of `--managers`.
    #[error(transparent)]
    File(#[from] FileError),
    /// An option of `--manager` names no binary.
    #[error("--manager {0:?}: the path of a program is expected, then its arguments, separated by commas")]
    Option(String),
    /// A name that is no name for a folder.
    #[error(
        "{place}: the name {name:?} is none: use at most 63 letters a to z, digits and `-`, which does not come first or last"
    )]
    BadName {
        /// Where it is.
        place: String,
        /// The name.
        name: String,
    },
    /// An argument asks for something nobody fills in.
    #[error("{place}: nothing is known for {placeholder}; known are {}", PLACEHOLDERS.join(", "))]
    Placeholder {
        /// Where it is.
        place: String,
        /// The placeholder.
        placeholder: String,
    },
    /// Two managers would share a folder and a prefix.
    #[error("two managers are called {0}: give one of them another name")]
    Name(String),
    /// The program is not there.
    #[error("manager {name}: there is no program {}", .path.display())]
    Program {
        /// The manager.
        name: String,
        /// What it should run.
        path: PathBuf,
    },
    /// The program is a file that cannot be run.
    #[error("manager {name}: {} is not executable", .path.display())]
    NotExecutable {
        /// The manager.
        name: String,
        /// What it should run.
        path: PathBuf,
    },
}

/// What is filled in where it is in an argument.
pub(super) const PLACEHOLDERS: [&str; 4] = ["{kubeconfig}", "{webhookPort}", "{webhookCertDir}", "{healthPort}"];
/// The longest name of a manager.
const LONGEST_NAME: usize = 63;

/// Which command-line flags a manager is given beside its own arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flags {
    /// Those of Cluster API's managers: `--kubeconfig`, `--webhook-port`, `--webhook-cert-dir`, `--health-addr`,
    /// `--diagnostics-address` and `--insecure-diagnostics`, each unless the arguments have it.
    #[default]
    ClusterApi,
    /// None: the arguments say everything, with the placeholders of [`ManagerSpec::args`].
    None,
}

/// One manager to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManagerSpec {
    /// Prefix of its log lines; by default the name of the program, or of its folder where that is just `manager`.
    #[serde(default)]
    pub name: String,
    /// The program.
    pub command: PathBuf,
    /// Its arguments; by default those of the Deployment in the manifests, if there is one. `{kubeconfig}`,
    /// `{webhookPort}`, `{webhookCertDir}` and `{healthPort}` are filled in.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// Environment variables beside those of `kogge`. `POD_NAMESPACE`, `POD_NAME`, `POD_UID`, `POD_IP` (127.0.0.1) and
    /// `KUBECONFIG` are set unless they are here.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files, or folders of files, with the objects upstream ships; by default `components.yaml` beside the program, if it
    /// is there.
    #[serde(default)]
    pub manifests: Option<Vec<PathBuf>>,
    /// `NAMESPACE/NAME` of the ServiceAccount it works as; by default the first one in the manifests. Without any it works
    /// as administrator.
    #[serde(default)]
    pub service_account: Option<String>,
    /// Flags it is given beside its arguments.
    #[serde(default)]
    pub flags: Flags,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManagersFile {
    managers: Vec<ManagerSpec>,
}

impl ManagerSpec {
    /// From `BINARY[,ARGUMENT...]`. A part that is no flag belongs to the argument before it, so that
    /// `--feature-gates=A=true,B=true` is one.
    ///
    /// # Errors
    /// Without a path.
    pub fn from_option(option: &str) -> Result<Self, ConfigurationError> {
        let mut parts = option.split(',');
        let command = parts.next().filter(|path| !path.is_empty());
        let command = command.ok_or_else(|| ConfigurationError::Option(option.to_owned()))?;
        let mut args: Vec<String> = Vec::new();
        for part in parts {
            match args.last_mut() {
                Some(last) if !part.starts_with('-') => {
                    last.push(',');
                    last.push_str(part);
                }
                _ => args.push(part.to_owned()),
            }
        }
        let args = (!args.is_empty()).then_some(args);
        Ok(Self { command: command.into(), args, ..Self::default() })
    }

    /// Fills in what is left to defaults, and refuses what cannot be run. `place` is where the manager is described.
    fn complete(mut self, relative_to: &Path, place: &str) -> Result<Self, ConfigurationError> {
        if self.command.is_relative() {
            self.command = relative_to.join(&self.command);
        }
        if self.name.is_empty() {
            let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let own = stem(&self.command).unwrap_or_default();
            self.name = match self.command.parent().and_then(stem) {
                Some(folder) if own == "manager" => name_of(&folder),
                _ => name_of(&own),
            };
        }
        if self.name.is_empty() || self.name.len() > LONGEST_NAME || name_of(&self.name) != self.name {
            return Err(ConfigurationError::BadName { place: place.to_owned(), name: self.name });
        }
        for (index, argument) in self.args.iter().flatten().enumerate() {
            if let Some(placeholder) = unknown_placeholder(argument) {
                let (place, placeholder) = (format!("{place}.args[{index}]"), placeholder.to_owned());
                return Err(ConfigurationError::Placeholder { place, placeholder });
            }
        }
        match self.command.metadata() {
            Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => {}
            Ok(file) if file.is_file() => {
                return Err(ConfigurationError::NotExecutable { name: self.name, path: self.command });
            }
            _ => return Err(ConfigurationError::Program { name: self.name, path: self.command }),
        }
        let beside = self.command.with_file_name("components.yaml");
        let given = self.manifests.take();
        let manifests = given.unwrap_or_else(|| beside.is_file().then_some(beside).into_iter().collect());
        // An absolute path stays what it is.
        self.manifests = Some(manifests.into_iter().map(|path| relative_to.join(path)).collect());
        Ok(self)
    }
}

/// The text as the name of a folder and of a pod: other characters become `-`.
fn name_of(text: &str) -> String {
    let text: String = text.chars().take(LONGEST_NAME).collect::<String>().to_ascii_lowercase();
    let text = text.replace(|character: char| !character.is_ascii_lowercase() && !character.is_ascii_digit(), "-");
    text.trim_matches('-').to_owned()
}

/// The first part of an argument that looks like a placeholder, a word in braces, and is none.
fn unknown_placeholder(argument: &str) -> Option<&str> {
    argument.match_indices('{').find_map(|(begin, _)| {
        let length = argument[begin..].find('}')?;
        let placeholder = &argument[begin..=begin + length];
        let word = &placeholder[1..length];
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        (is_word && !PLACEHOLDERS.contains(&placeholder)).then_some(placeholder)
    })
}

/// The managers of the options `--manager` and the files `--managers`, complete and with names of their own. Paths in a
/// file are relative to the file.
///
/// # Errors
/// See [`ConfigurationError`].
pub fn managers(options: &[String], files: &[PathBuf]) -> Result<Vec<ManagerSpec>, ConfigurationError> {
    let mut all = Vec::new();
    for path in files {
        let file: ManagersFile =
            file::read(path, |text| serde_saphyr::from_str(text).map_err(|error| error.to_string()))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for (index, spec) in file.managers.into_iter().enumerate() {
            all.push(spec.complete(folder, &format!("{}: managers[{index}]", path.display()))?);
        }
    }
    for option in options {
        all.push(ManagerSpec::from_option(option)?.complete(Path::new("."), &format!("--manager {option}"))?);
    }
    let mut names = std::collections::BTreeSet::new();
    match all.iter().find(|spec| !names.insert(spec.name.clone())) {
        Some(twice) => Err(ConfigurationError::Name(twice.name.clone())),
        None => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_no_flag_belongs_to_the_flag_before_it() {
        let spec = ManagerSpec::from_option("/bin/core,--feature-gates=A=true,B=true,-v=2").unwrap();
        assert_eq!(spec.command, Path::new("/bin/core"));
        assert_eq!(spec.args.unwrap(), ["--feature-gates=A=true,B=true", "-v=2"]);
        assert!(ManagerSpec::from_option(",--x").is_err());
    }

    #[test]
    fn a_manager_is_named_after_its_folder_and_finds_its_components() {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("core");
        std::fs::create_dir(&core).unwrap();
        std::fs::write(core.join("manager"), "").unwrap();
        std::fs::write(core.join("components.yaml"), "").unwrap();
        let file = folder.path().join("managers.yaml");
        std::fs::write(&file, "managers:\n- command: core/manager\n").unwrap();
        let refused = managers(&[], std::slice::from_ref(&file)).unwrap_err().to_string();
        assert!(
            refused.starts_with("manager core: ") && refused.ends_with("/core/manager is not executable"),
            "{refused}"
        );
        std::fs::set_permissions(core.join("manager"), std::fs::Permissions::from_mode(0o700)).unwrap();
        let found = managers(&[], std::slice::from_ref(&file)).unwrap();
        assert_eq!(
            (found[0].name.as_str(), found[0].manifests.clone()),
            ("core", Some(vec![core.join("components.yaml")]))
        );
        let option = core.join("manager").display().to_string();
        let error = managers(&[option], &[file]).unwrap_err();
        assert_eq!(error.to_string(), "two managers are called core: give one of them another name");
        assert!(managers(&["/no/such/program".to_owned()], &[]).is_err());
    }

    #[test]
    fn a_name_is_no_path_and_a_placeholder_is_one_of_those_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("managers.yaml");
        let refusal = |manager: &str| {
            std::fs::write(&file, format!("managers:\n- command: /bin/sh\n  {manager}\n")).unwrap();
            let error = managers(&[], std::slice::from_ref(&file)).map(drop).unwrap_err().to_string();
            error.replace(&file.display().to_string(), "FILE")
        };
        for name in ["../x", "a/b", ".", "..", "/x", "A", "-a", "a b", &"a".repeat(64)] {
            assert!(refusal(&format!("name: \"{name}\"")).starts_with("FILE: managers[0]: the name "), "{name}");
        }
        assert_eq!(
            refusal("args: [\"-v=2\", \"--kubeconfig={kubeconfg}\"]"),
            "FILE: managers[0].args[1]: nothing is known for {kubeconfg}; known are {kubeconfig}, {webhookPort}, \
             {webhookCertDir}, {healthPort}"
        );
        let good = r#"args: ["{kubeconfig}:{healthPort}", "{}", "{\"a\":1}", "{", "}{"]"#;
        std::fs::write(&file, format!("managers:\n- command: /bin/sh\n  {good}\n")).unwrap();
        assert_eq!(managers(&[], &[file]).unwrap()[0].name, "sh");
        assert_eq!((name_of("My_Manager.v2"), name_of("..")), ("my-manager-v2".to_owned(), String::new()));
    }
}
