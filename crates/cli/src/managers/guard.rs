//! The process between `kogge up` and a manager: it ends the manager when `kogge` ends, however that happens.
//!
//! Its standard input is a pipe from `kogge`. The operating system closes the pipe when `kogge` dies, also by SIGKILL, so
//! the end of input is the order to stop; nothing has to be sent, and nothing unsafe has to run between fork and exec.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::outcome::{CommandError, Exit};

/// How long a manager may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How often the manager is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Runs a program with its arguments in a process group of its own until it ends or standard input does.
///
/// # Errors
/// Exit code 1 with how it ended, unless that was well or asked for.
pub fn guard(command: &[OsString]) -> Result<(), CommandError> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| CommandError::new(Exit::Refused, "there is no program to run"))?;
    let (ended, end) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut buffer = [0; 64];
        while input.read(&mut buffer).is_ok_and(|length| length > 0) {}
        drop(ended);
    });
    let mut command = Command::new(program);
    let mut child = match command.args(arguments).stdin(Stdio::null()).process_group(0).spawn() {
        Ok(child) => child,
        Err(error) => {
            let message = format!("failed to start {}: {error}", program.to_string_lossy());
            return Err(CommandError::new(Exit::Failed, message));
        }
    };
    let mut stopping: Option<Instant> = None;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            // What the manager has started itself must not outlive it either.
            signal(&child, Signal::KILL);
            return if status.success() || stopping.is_some() {
                Ok(())
            } else {
                Err(CommandError::new(Exit::Failed, format!("the program ended with {status}")))
            };
        }
        match stopping {
            Some(since) => {
                if since.elapsed() > GRACE {
                    signal(&child, Signal::KILL);
                }
                std::thread::sleep(INTERVAL);
            }
            None => {
                if end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Disconnected) {
                    signal(&child, Signal::TERM);
                    stopping = Some(Instant::now());
                }
            }
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}
