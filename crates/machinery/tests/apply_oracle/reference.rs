//! The reference implementation as a child process: one line of JSON in, one line out.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

/// The oracle's program, built once for all tests: a program that runs cannot be written to.
static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oracle");
    let binary = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("apply-oracle");
    let built = Command::new("go").arg("build").arg("-o").arg(&binary).arg(".").current_dir(&source).output();
    match built {
        Ok(output) if output.status.success() => Ok(binary),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
});

pub(crate) struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts the oracle; `None` without Go.
    pub(crate) fn start() -> Option<Self> {
        let binary = match &*BUILT {
            Ok(binary) => binary,
            Err(problem) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "the oracle must be built in CI: {problem}");
                eprintln!(
                    "SKIPPED: server-side apply was not compared with Kubernetes' implementation, because its oracle \
                     cannot be built: {problem}\nInstall Go 1.26 or newer (https://go.dev/dl) and run this test again."
                );
                return None;
            }
        };
        let mut child = Command::new(binary).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, input, output })
    }

    /// What the reference makes of one request.
    pub(crate) fn ask(&mut self, request: &Value) -> Vec<Value> {
        // In one piece: what is formatted into a pipe wakes the reader at every token.
        let mut question = request.to_string();
        question.push('\n');
        self.input.write_all(question.as_bytes()).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?} for {request}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
