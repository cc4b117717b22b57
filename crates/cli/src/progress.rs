//! Following a cluster until it is where it should be: bars on a terminal, plain lines elsewhere.
//!
//! The pure part, [`Tracker`], turns statuses into lines and a verdict; [`follow`] feeds it from the server.

use std::time::Duration;

use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use kogge_api::kubernetes_cluster::{ClusterProblem, KubernetesCluster, OperationState, Phase};
use reqwest::Method;

use crate::outcome::{CommandError, Exit};
use crate::rest_client::{Body, RestClient};
use crate::terminal;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The latest description is observed and the cluster Ready.
    Ready,
    /// The cluster is gone.
    Gone,
    /// Nothing: follow until interrupted, or until the cluster is gone.
    Nothing,
}

/// What a status means for the goal.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Not there yet.
    Waiting,
    /// Reached.
    Reached,
    /// Cannot be reached as described.
    Failed(String),
}

/// Turns a sequence of statuses into the lines that are new in each.
#[derive(Debug)]
pub struct Tracker {
    goal: Goal,
    last_line: String,
    told_problems: Vec<(String, String)>,
}

impl Tracker {
    /// A tracker with nothing told yet.
    pub fn new(goal: Goal) -> Self {
        Self { goal, last_line: String::new(), told_problems: Vec::new() }
    }

    /// What there is to say about this status that was not said before, and whether the goal is reached.
    pub fn observe(&mut self, cluster: &KubernetesCluster) -> (Vec<String>, Verdict) {
        let mut lines = Vec::new();
        let line = summary(cluster);
        if line != self.last_line {
            lines.push(line.clone());
            self.last_line = line;
        }
        let status = cluster.status.clone().unwrap_or_default();
        for problem in &status.problems {
            let known = (problem.code.clone(), problem.message.clone());
            if !self.told_problems.contains(&known) {
                lines.push(problem_line(problem));
                self.told_problems.push(known);
            }
        }
        let before = self.told_problems.len();
        self.told_problems.retain(|(code, message)| {
            status.problems.iter().any(|problem| problem.code == *code && problem.message == *message)
        });
        if before > 0 && self.told_problems.is_empty() {
            lines.push("  solved: no problem is left".into());
        }
        (lines, self.verdict(cluster))
    }

    fn verdict(&self, cluster: &KubernetesCluster) -> Verdict {
        if self.goal != Goal::Ready {
            return Verdict::Waiting;
        }
        let Some(status) = &cluster.status else { return Verdict::Waiting };
        // A status that speaks of an older description says nothing about this one.
        if status.observed_generation != cluster.metadata.generation {
            return Verdict::Waiting;
        }
        match status.phase {
            Some(Phase::Ready) => Verdict::Reached,
            Some(Phase::Failed) => Verdict::Failed(
                status.problems.first().map_or_else(|| "it cannot be made as described".into(), |p| p.message.clone()),
            ),
            _ => Verdict::Waiting,
        }
    }
}

/// One line on where a cluster is: `Provisioning  45%  2 of 3 control plane and 0 of 3 worker machines ready`.
pub fn summary(cluster: &KubernetesCluster) -> String {
    let Some(status) = &cluster.status else { return "Pending".into() };
    let mut line = status.phase.unwrap_or_default().to_string();
    if let Some(operation) = &status.operation
        && matches!(operation.state, OperationState::Running | OperationState::Blocked | OperationState::Pending)
    {
        line = format!("{line} {:>3}%", operation.progress);
    }
    let message = status.operation.as_ref().map(|operation| operation.message.as_str()).unwrap_or_default();
    if !message.is_empty() {
        line = format!("{line}  {message}");
    } else if let Some(control_plane) = &status.control_plane {
        let workers = status.workers_summary.as_deref().unwrap_or("0/0");
        line = format!("{line}  control plane {}/{}, workers {workers}", control_plane.ready, control_plane.desired);
    }
    line
}

/// A problem in two lines: what, and what to do.
pub fn problem_line(problem: &ClusterProblem) -> String {
    let mut text = format!("  problem {} ({} has to act): {}", problem.code, problem.actor, problem.message);
    if !problem.remedy.is_empty() {
        text = format!("{text}\n    {}", problem.remedy);
    }
    text
}

/// Follows a cluster until the goal is reached.
///
/// # Errors
/// Exit code 1 if it cannot be reached, 6 if the time is over; both say what is in the way.
pub async fn follow(
    client: &RestClient,
    name: &str,
    goal: Goal,
    timeout: Option<Duration>,
) -> Result<(), CommandError> {
    let started = std::time::Instant::now();
    let view = View::new(name);
    let mut tracker = Tracker::new(goal);
    let mut last: Option<KubernetesCluster> = None;
    let work = async {
        loop {
            let mut events = match client.events(&client.clusters_path(&format!("/{name}/events"))).await {
                Ok(events) => Box::pin(events),
                Err(error) if error.exit == Exit::NotFound && goal != Goal::Ready => return Ok(()),
                Err(error) => return Err(error),
            };
            while let Some(event) = events.next().await {
                let Ok(event) = event else { break };
                match event.name.as_str() {
                    "status" => {
                        let Ok(cluster) = serde_json::from_str::<KubernetesCluster>(&event.data) else { continue };
                        let (lines, verdict) = tracker.observe(&cluster);
                        view.show(&cluster, &lines);
                        last = Some(cluster);
                        match verdict {
                            Verdict::Waiting => {}
                            Verdict::Reached => return Ok(()),
                            Verdict::Failed(why) => {
                                return Err(CommandError::new(Exit::Failed, format!("{name} failed: {why}"))
                                    .hint(format!("`kogge cluster diagnose {name}` says more")));
                            }
                        }
                    }
                    "deleted" if goal == Goal::Ready => {
                        return Err(CommandError::new(Exit::Failed, format!("{name} was deleted meanwhile")));
                    }
                    "deleted" => return Ok(()),
                    _ => {}
                }
            }
            // The stream ended (server restarted, network gone); the next one begins with the present state.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let result = match timeout {
        None => work.await,
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(timed_out(name, goal, limit, last.as_ref())),
        },
    };
    match (&result, goal) {
        (Ok(()), Goal::Ready) => view.finish(&format!("{name} is Ready after {}", elapsed(started.elapsed()))),
        (Ok(()), _) => view.finish(&format!("{name} is gone after {}", elapsed(started.elapsed()))),
        (Err(_), _) => view.clear(),
    }
    result
}

/// Who has to do something before it goes on.
fn what_follows(name: &str, last: Option<&KubernetesCluster>) -> String {
    let status = last.and_then(|cluster| cluster.status.as_ref());
    if status.is_some_and(|status| status.phase == Some(Phase::Paused)) {
        return format!(
            "it is paused: nothing happens until somebody sets spec.paused of {name} to false, such as with \
             `kubectl patch kubernetescluster {name} --type merge -p '{{\"spec\":{{\"paused\":false}}}}'`"
        );
    }
    if status.is_some_and(|status| !status.problems.is_empty()) {
        return format!("it goes on when the problem is solved; `kogge cluster diagnose {name}` says more");
    }
    format!("it goes on by itself; `kogge cluster watch {name}` follows it")
}

fn timed_out(name: &str, goal: Goal, limit: Duration, last: Option<&KubernetesCluster>) -> CommandError {
    let goal = if goal == Goal::Gone { "gone" } else { "Ready" };
    let mut error =
        CommandError::new(Exit::TimedOut, format!("{name} is not {goal} after {}", crate::duration::Duration(limit)))
            .hint(what_follows(name, last));
    if let Some(cluster) = last {
        error.details.push(summary(cluster));
        let problems = cluster.status.iter().flat_map(|status| &status.problems);
        error.details.extend(problems.map(problem_line));
    }
    error
}

/// A cluster as it is now.
///
/// # Errors
/// As the server answers.
pub async fn current(client: &RestClient, name: &str) -> Result<KubernetesCluster, CommandError> {
    client.call(Method::GET, &client.clusters_path(&format!("/{name}")), Body::Empty).await
}

/// `8.4 s`, `2m05s`
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

/// Where lines and bars go.
struct View {
    name: String,
    bar: Option<ProgressBar>,
}

impl View {
    fn new(name: &str) -> Self {
        let bar = terminal::is_interactive().then(|| {
            let bar = ProgressBar::new(100);
            bar.set_style(
                ProgressStyle::with_template("{spinner} {prefix} [{bar:24}] {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> "),
            );
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { name: name.to_owned(), bar }
    }

    fn show(&self, cluster: &KubernetesCluster, lines: &[String]) {
        let Some(bar) = &self.bar else {
            for line in lines {
                terminal::say(&format!("{}: {}", self.name, line.trim_start()));
            }
            return;
        };
        let progress = cluster.status.as_ref().and_then(|status| status.operation.as_ref()).map_or(0, |o| o.progress);
        bar.set_position(progress.into());
        bar.set_message(summary(cluster));
        for line in lines.iter().filter(|line| line.starts_with(' ')) {
            bar.println(line);
        }
    }

    fn finish(&self, line: &str) {
        self.clear();
        terminal::say(line);
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use kogge_api::kubernetes_cluster::KubernetesClusterStatus;

    use super::*;

    #[test]
    fn who_waited_in_vain_learns_who_has_to_act() {
        let cluster = |phase, problems| KubernetesCluster {
            status: Some(KubernetesClusterStatus { phase: Some(phase), problems, ..Default::default() }),
            ..serde_json::from_value(serde_json::json!({
                "apiVersion": "kogge.dev/v1alpha1", "kind": "KubernetesCluster", "metadata": {"name": "first"},
                "spec": {"provider": {"profile": "sim"}, "kubernetes": {"version": "1.35"}},
            }))
            .unwrap()
        };
        let hints = [
            what_follows("first", None),
            what_follows("first", Some(&cluster(Phase::Paused, Vec::new()))),
            what_follows("first", Some(&cluster(Phase::Updating, vec![ClusterProblem::default()]))),
        ];
        insta::assert_snapshot!(hints.join("\n"), @r#"
        it goes on by itself; `kogge cluster watch first` follows it
        it is paused: nothing happens until somebody sets spec.paused of first to false, such as with `kubectl patch kubernetescluster first --type merge -p '{"spec":{"paused":false}}'`
        it goes on when the problem is solved; `kogge cluster diagnose first` says more
        "#);
    }
}
