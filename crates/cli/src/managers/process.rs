//! A manager as a child process: started, prefixed, restarted with growing pauses, stopped with `kogge`.

use std::process::Stdio;
use std::time::Duration;

use kogge_apiserver::server::Server;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::guard;
use super::installation::Installation;
use crate::terminal;

/// The pause before the first restart; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A manager that ran this long is restarted as if for the first time.
const STABLE: Duration = Duration::from_mins(1);
/// How often a manager gets a new token.
const TOKEN_INTERVAL: Duration = Duration::from_hours(1);
/// The guard kills a manager that does not stop; this is when nobody waits for the guard any longer.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Runs a manager until `shutdown`.
pub(super) async fn run(installation: Installation, server: Server, server_url: String, shutdown: CancellationToken) {
    let client = server.management().client();
    let name = installation.spec.name.clone();
    let mut pause = FIRST_PAUSE;
    while !shutdown.is_cancelled() {
        let administrator = server.admin_kubeconfig(&server_url);
        let authority = server.certificate_authority_pem();
        let started = Instant::now();
        let outcome = match installation.write_files(&client, &server_url, &authority, &administrator).await {
            Err(error) => error.to_string(),
            Ok(()) => match start(&installation) {
                Err(error) => format!("failed to start it: {error}"),
                Ok(child) => match watch_over(child, &installation, &client, &shutdown).await {
                    Some(outcome) => outcome,
                    None => break,
                },
            },
        };
        if started.elapsed() > STABLE {
            pause = FIRST_PAUSE;
        }
        terminal::say(&format!("manager {name}: {outcome}; starting it again in {} s", pause.as_secs()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => break,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Starts the guard, which starts the manager.
fn start(installation: &Installation) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["guard", "--lock"])
        .arg(installation.directory.join("lock"))
        .arg("--")
        .arg(&installation.spec.command)
        .args(installation.arguments())
        .envs(installation.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Waits until the manager ends by itself (and says how), or until `shutdown` (and stops it).
async fn watch_over(
    mut child: Child,
    installation: &Installation,
    client: &kube::Client,
    shutdown: &CancellationToken,
) -> Option<String> {
    let name = &installation.spec.name;
    let lines = [
        child.stdout.take().map(|output| tokio::spawn(prefix(name.clone(), output))),
        child.stderr.take().map(|output| tokio::spawn(prefix(name.clone(), output))),
    ];
    let order = child.stdin.take();
    let ready = tokio::spawn(announce(name.clone(), installation.health_port));
    let mut tokens = tokio::time::interval_at(Instant::now() + TOKEN_INTERVAL, TOKEN_INTERVAL);
    let outcome = loop {
        tokio::select! {
            ended = child.wait() => {
                break Some(match ended {
                    Ok(status) => match status.code().and_then(|code| u8::try_from(code).ok()) {
                        Some(code) => format!("ended with {}", guard::ending(code)),
                        None => format!("its guard ended with {status}"),
                    },
                    Err(error) => format!("lost: {error}"),
                });
            }
            _ = tokens.tick() => {
                if let Err(error) = installation.refresh_token(client).await {
                    terminal::say(&format!("manager {name}: {error}"));
                }
            }
            () = shutdown.cancelled() => {
                // The end of its input is the guard's order to stop the manager.
                drop(order);
                let _ = tokio::time::timeout(STOP_LIMIT, child.wait()).await;
                break None;
            }
        }
    };
    ready.abort();
    for task in lines.into_iter().flatten() {
        let _ = tokio::time::timeout(Duration::from_secs(1), task).await;
    }
    outcome
}

/// Passes lines on with the manager's name before them.
async fn prefix(name: String, output: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        terminal::say(&format!("{name} | {line}"));
    }
}

/// Says when a manager answers that it is ready.
async fn announce(name: String, port: u16) {
    let url = format!("http://127.0.0.1:{port}/readyz");
    let Ok(client) = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build() else { return };
    loop {
        if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return terminal::say(&format!("manager {name}: ready"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
