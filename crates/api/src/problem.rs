//! The catalogue of problems: what can go wrong with a cluster, a description or a request, who can solve it and how.
//!
//! A code is a stable word such as `QuotaExceeded`. The same codes stand in `status.problems`, in the errors of the REST
//! API and in the findings of the validation. Each has a page under `crates/api/problems/`, embedded here, which
//! `kogge explain CODE` shows.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who can solve a problem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Actor {
    /// The customer, by changing the description or what runs in the cluster.
    User,
    /// The operator of the cloud or of Kogge.
    #[default]
    Provider,
    /// Kogge itself: it repairs this without anybody's help.
    Platform,
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::User => "User",
            Self::Provider => "Provider",
            Self::Platform => "Platform",
        })
    }
}

/// How much a problem matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Severity {
    /// Good to know; nothing is refused and nothing fails.
    Warning,
    /// Something is refused or fails.
    #[default]
    Error,
}

/// What the catalogue says about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The code.
    pub code: ProblemCode,
    /// Who can solve it.
    pub actor: Actor,
    /// Whether Kogge keeps trying, so that it goes away once its cause is removed.
    pub retryable: bool,
    /// How much it matters.
    pub severity: Severity,
    /// A few words.
    pub title: &'static str,
    /// What to do, in one sentence.
    pub remedy: &'static str,
    /// The page: what happened, how to see it, what to do, who. Markdown.
    pub page: &'static str,
}

/// Declares the codes once: the enumeration, its words and the catalogue cannot drift apart.
macro_rules! catalogue {
    ($($(#[doc = $doc:literal])+ $code:ident, $actor:ident, $retry:ident, $severity:ident, $title:literal, $remedy:literal;)+) => {
        /// The stable word for a problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
        pub enum ProblemCode {
            $($(#[doc = $doc])+ $code,)+
        }

        /// Every problem, in the order of the documentation.
        pub static CATALOGUE: &[Definition] = &[
            $(Definition {
                code: ProblemCode::$code,
                actor: Actor::$actor,
                retryable: retry!($retry),
                severity: Severity::$severity,
                title: $title,
                remedy: $remedy,
                page: include_str!(concat!("../problems/", stringify!($code), ".md")),
            },)+
        ];

        impl ProblemCode {
            /// The word as it stands in statuses and errors.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)+
                }
            }
        }
    };
}

macro_rules! retry {
    (retried) => {
        true
    };
    (final) => {
        false
    };
}

catalogue! {
    // What the cloud does.
    /// The project's quota is too small for the machines, volumes or addresses of the description.
    QuotaExceeded, User, retried, Error, "The cloud's quota is exhausted",
        "Raise the project's quota, or ask for fewer or smaller machines; Kogge goes on by itself.";
    /// The image the machines boot from does not exist in the cloud.
    ImageMissing, Provider, retried, Error, "The image of the machines is missing",
        "Upload the image the cluster stack names; Kogge goes on by itself.";
    /// A zone does not take new machines or has failed.
    ZoneUnavailable, Provider, retried, Error, "A zone is unavailable",
        "Wait until the zone is back, or take it out of the zones of the pool.";
    /// A machine was created but does not become a node.
    MachineNotBooting, Platform, retried, Error, "A machine does not become a node",
        "Nothing: Kogge replaces the machine when its startup time is over. If it repeats, look at the node image and the network.";
    /// A machine that was a node no longer answers.
    NodeLost, Platform, retried, Error, "A node is lost",
        "Nothing: Kogge replaces the machine. Check that your workloads run with several replicas.";
    /// The cloud answers, but slowly.
    CloudApiSlow, Provider, retried, Warning, "The cloud answers slowly",
        "Nothing, it only takes longer; the operator of the cloud should look at the load of its interfaces.";
    /// The cloud answers with errors of its own.
    CloudApiErrors, Provider, retried, Error, "The cloud answers with errors",
        "The operator of the cloud has to repair its interfaces; Kogge keeps trying.";
    /// The cloud does not know the credentials or refuses them.
    CredentialsInvalid, User, retried, Error, "The cloud refuses the credentials",
        "Put valid credentials into the Secret the description names; Kogge takes them up by itself.";
    /// The credentials have expired.
    CredentialsExpired, User, retried, Error, "The credentials for the cloud have expired",
        "Renew the credentials in the Secret the description names; Kogge takes them up by itself.";
    /// No host has room for a machine of this flavor.
    CapacityExhausted, Provider, retried, Error, "The cloud has no room for the machine",
        "Choose another flavor or zone, relax antiAffinity, or wait until the provider adds hosts.";
    /// The flavor is offered by the profile, but the cloud does not know it.
    FlavorUnavailable, Provider, retried, Error, "The cloud does not know the flavor",
        "Choose another flavor; the operator has to correct the profile or create the flavor.";
    /// Network, router or load balancer cannot be made.
    InfrastructureFailed, Provider, retried, Error, "The cloud cannot make the network or load balancer",
        "Read the message of the cloud; Kogge keeps trying.";

    // How the cluster fares.
    /// The API server of the cluster does not answer or etcd has no majority.
    ControlPlaneUnavailable, Platform, retried, Error, "The control plane is not available",
        "Nothing at first: Kogge replaces failed machines one after the other. If it lasts, run a diagnosis.";
    /// Fewer worker machines run than are described.
    WorkersUnavailable, Platform, retried, Error, "Worker machines are missing",
        "See the other problems of the cluster for the cause; without any, wait until the machines are up.";
    /// Pods cannot leave a machine that is to be replaced or removed.
    DrainBlocked, User, retried, Error, "Pods cannot leave a machine",
        "Give the workload more replicas or relax its PodDisruptionBudget; after maintenance.drainTimeout the machine goes anyway.";
    /// Something keeps the cluster from being removed.
    DeletionBlocked, Provider, retried, Error, "The cluster cannot be removed completely",
        "Remove what the message names; Kogge then finishes the deletion by itself.";
    /// Nothing moves although something should.
    NoProgress, Provider, retried, Error, "The operation does not get on",
        "Run a diagnosis: it names the object that waits. Kogge keeps trying.";
    /// The kubeconfig of the cluster cannot be read.
    KubeconfigUnavailable, Platform, retried, Error, "There is no kubeconfig yet",
        "Wait until the control plane is initialized, then ask again.";
    /// The control plane has a single machine.
    SinglePointOfFailure, User, final, Warning, "The control plane has a single machine",
        "Set controlPlane.count to 3 for a control plane that survives the loss of a machine.";
    /// Changes are stopped by `spec.paused`.
    Paused, User, final, Warning, "Changes are stopped",
        "Set spec.paused to false to let Kogge work on the cluster again.";

    // What runs the clusters.
    /// Someone else has changed an object that Kogge manages.
    BackendConflict, Provider, retried, Error, "Someone else changes the cluster's objects",
        "Stop the other writer; Kogge sets its own fields again.";
    /// Cluster API is not installed or does not answer.
    BackendUnavailable, Provider, retried, Error, "Cluster API does not answer",
        "Install or repair Cluster API in the management cluster; Kogge goes on by itself.";
    /// Cluster API refuses an object.
    BackendRefused, Provider, retried, Error, "Cluster API refuses an object",
        "Read the refusal in the message: the stack or the profile does not fit the installed Cluster API.";
    /// The cluster stack or its release does not exist.
    StackNotFound, User, retried, Error, "The cluster stack is not offered",
        "Remove spec.stack, or name a stack and release of the profile.";

    // Descriptions.
    /// A value of the description breaks a rule.
    InvalidDescription, User, final, Error, "The description is not valid",
        "Correct the fields named in the errors.";
    /// A field does not exist.
    UnknownField, User, final, Error, "A field does not exist",
        "Remove the field or correct its name.";
    /// A field that must be there is missing.
    MissingField, User, final, Error, "A field is missing",
        "Add the field.";
    /// A field has a value of another type, such as a number instead of a string.
    WrongType, User, final, Error, "A field has the wrong type",
        "Write the value in the type the message names; versions go in quotes.";
    /// There is no profile of this name.
    ProfileNotFound, User, retried, Error, "There is no such profile",
        "Name one of the offered profiles in spec.provider.profile.";
    /// The profile does not offer the Kubernetes version.
    VersionNotOffered, User, final, Error, "The Kubernetes version is not offered",
        "Use one of the versions the message lists.";
    /// The profile does not offer the flavor.
    FlavorNotOffered, User, final, Error, "The flavor is not offered or too small",
        "Use one of the flavors the message lists.";
    /// The region does not have the zone, or the profile does not have the region.
    ZoneNotOffered, User, final, Error, "The zone or region is not offered",
        "Use one of the zones the message lists.";
    /// The profile does not have the feature.
    CapabilityMissing, User, final, Error, "The profile does not have the feature",
        "Remove the field, or choose a profile that has the feature.";
    /// The description asks for more than the profile allows.
    LimitExceeded, User, final, Error, "A limit of the profile is exceeded",
        "Stay within the limit the message names, or ask the provider to raise it.";
    /// The field cannot be changed after creation.
    ImmutableField, User, final, Error, "The field cannot be changed",
        "Restore the old value, or create a new cluster with the new one.";
    /// The new version leaves out a minor version.
    UpgradeSkipsMinor, User, final, Error, "The upgrade skips a minor version",
        "Upgrade to the next minor version first, as the message says.";
    /// The new version is lower than the running one.
    Downgrade, User, final, Error, "Kubernetes cannot be downgraded",
        "Keep the running version or choose a newer one.";
    /// Two networks share addresses.
    NetworksOverlap, User, final, Error, "Two networks overlap",
        "Choose networks that have no address in common.";
    /// Machines and their data would go without the user having confirmed it.
    ConfirmationRequired, User, final, Error, "The removal needs a confirmation",
        "Confirm with the annotation kogge.dev/confirm-removal, as the message says.";
    /// Upstream no longer fixes the Kubernetes version.
    VersionOutOfSupport, User, final, Warning, "The Kubernetes version is out of support",
        "Upgrade to a newer minor version.";
    /// Control plane machines have no local SSD.
    SlowEtcdDisk, User, final, Warning, "The control plane has no local SSD",
        "Choose a flavor with local SSD for controlPlane.machineFlavor.";

    // Documents and requests.
    /// The document is not YAML or JSON, not UTF-8, or otherwise not readable.
    MalformedDocument, User, final, Error, "The document cannot be read",
        "Correct the syntax at the position the message names.";
    /// The document is larger than is accepted or unfolds to far too much.
    DocumentTooLarge, User, final, Error, "The document is too large",
        "Keep documents under 10 MiB and do without nested aliases.";
    /// The document is of a kind that is not accepted here.
    UnknownKind, User, final, Error, "The kind of the document is not accepted",
        "Use apiVersion kogge.dev/v1alpha1 and kind KubernetesCluster.";
    /// There is no such object.
    NotFound, User, final, Error, "There is no such object",
        "Check tenant and name; list the objects there are.";
    /// There is an object of this name already.
    AlreadyExists, User, final, Error, "The name is taken",
        "Choose another name, or change the existing object.";
    /// The object has been changed in the meantime.
    PreconditionFailed, User, retried, Error, "The object has been changed in the meantime",
        "Read the object again and repeat the change with its new ETag.";
    /// The request carries no token or a wrong one.
    Unauthenticated, User, final, Error, "The request is not authenticated",
        "Send a valid token in the Authorization header.";
    /// The request is not one the interface understands.
    BadRequest, User, final, Error, "The request is not understood",
        "Compare the request with the OpenAPI description.";
    /// The request's media type is not accepted.
    UnsupportedMediaType, User, final, Error, "The media type is not accepted",
        "Send application/json or application/yaml.";
    /// What was waited for did not happen in time.
    WaitTimedOut, User, retried, Error, "It takes longer than you wanted to wait",
        "Nothing has been undone: look at the status and wait again.";
    /// The interface cannot reach the Kubernetes API behind it, or has a fault of its own.
    InternalError, Provider, retried, Error, "The interface cannot serve the request",
        "Repeat the request; if it persists, give the request id to the operator.";
}

impl ProblemCode {
    /// What the catalogue says about the code.
    pub fn definition(self) -> &'static Definition {
        // The catalogue is declared in the order of the enumeration.
        &CATALOGUE[self as usize]
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A word that is no code of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no problem code {word:?}{}", .suggestion.map(|code| format!("; did you mean {code}?")).unwrap_or_default())]
pub struct UnknownCode {
    /// The word.
    pub word: String,
    /// The code that was probably meant.
    pub suggestion: Option<ProblemCode>,
}

impl FromStr for ProblemCode {
    type Err = UnknownCode;

    /// Finds a code by its word, in any case.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if let Some(found) = CATALOGUE.iter().find(|entry| entry.code.as_str().eq_ignore_ascii_case(word)) {
            return Ok(found.code);
        }
        let words: Vec<&str> = CATALOGUE.iter().map(|entry| entry.code.as_str()).collect();
        let suggestion = crate::suggestion::closest(word, words.iter().copied())
            .and_then(|word| CATALOGUE.iter().find(|entry| entry.code.as_str() == word))
            .map(|entry| entry.code);
        Err(UnknownCode { word: word.into(), suggestion })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_with_the_four_answers_and_finds_its_own_definition() {
        for entry in CATALOGUE {
            assert_eq!(entry.code.definition(), entry);
            assert_eq!(entry.code.as_str().parse(), Ok(entry.code));
            assert!(entry.page.starts_with(&format!("# {}\n", entry.code)), "{}", entry.code);
            for heading in ["## What happened", "## How to see it", "## What to do", "## Who"] {
                assert!(entry.page.contains(heading), "{}: {heading}", entry.code);
            }
            assert!(entry.title.len() < 60 && entry.remedy.ends_with('.'), "{}", entry.code);
        }
    }

    #[test]
    fn a_misspelt_code_is_answered_with_the_one_that_was_meant() {
        assert_eq!("quotaexceeded".parse(), Ok(ProblemCode::QuotaExceeded));
        let error = "QuotaExeeded".parse::<ProblemCode>().unwrap_err();
        assert_eq!(error.to_string(), "there is no problem code \"QuotaExeeded\"; did you mean QuotaExceeded?");
    }
}
