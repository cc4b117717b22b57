//! The process between `kogge up` and a manager: it ends the manager when `kogge` ends, however that happens.
//!
//! Its standard input is a pipe from `kogge`. The operating system closes the pipe when `kogge` dies, also by SIGKILL, so
//! the end of input is the order to stop; nothing has to be sent, and nothing unsafe has to run between fork and exec.
//! The guard may be killed too: what it starts is first this program, which asks the operating system to be killed with the
//! guard (Linux keeps that across exec) and then becomes the manager. A locked file keeps a later `kogge` from starting
//! the manager a second time while the first still stops.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::outcome::{CommandError, Exit};
use crate::terminal;

/// How long a manager may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How often the manager is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Runs a program with its arguments in a process group of its own until it ends or standard input does. While another
/// guard holds the lock, it is not started.
///
/// # Errors
/// Exit code 1 with how it ended, unless that was well or asked for.
pub fn guard(command: &[OsString], lock: Option<&Path>) -> Result<(), CommandError> {
    let failed = |text: String| CommandError::new(Exit::Failed, text);
    let (ended, end) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut buffer = [0; 64];
        while input.read(&mut buffer).is_ok_and(|length| length > 0) {}
        drop(ended);
    });
    // Held, and not inherited, as long as this process lives.
    let _lock = match lock {
        Some(path) => {
            let file =
                File::create(path).map_err(|error| failed(format!("failed to make {}: {error}", path.display())))?;
            match is_locked_before_the_end(&file, &end) {
                Ok(true) => Some(file),
                Ok(false) => return Ok(()),
                Err(error) => return Err(failed(format!("failed to lock {}: {error}", path.display()))),
            }
        }
        None => None,
    };
    let mut child = match bound(command).and_then(|mut command| command.stdin(Stdio::null()).process_group(0).spawn()) {
        Ok(child) => child,
        Err(error) => return Err(failed(format!("failed to start the program: {error}"))),
    };
    let mut stopping: Option<Instant> = None;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            // What the manager has started itself must not outlive it either.
            signal(&child, Signal::KILL);
            return if status.success() || stopping.is_some() {
                Ok(())
            } else {
                Err(failed(format!("the program ended with {status}")))
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

/// Waits for the lock; false when standard input has ended before.
fn is_locked_before_the_end(file: &File, end: &Receiver<()>) -> std::io::Result<bool> {
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if !std::mem::replace(&mut told, true) {
            terminal::say("waiting until the one of an earlier kogge has stopped");
        }
        if end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Disconnected) {
            return Ok(false);
        }
    }
}

/// The command that becomes the program, bound to the life of this process.
fn bound(command: &[OsString]) -> std::io::Result<Command> {
    let mut bound = Command::new(std::env::current_exe()?);
    bound.args(["guard", "--bound-to", &std::process::id().to_string(), "--"]).args(command);
    Ok(bound)
}

/// Becomes a program that is killed when its parent dies, where the operating system can do that (Linux can).
///
/// # Errors
/// Returns only if that fails, with exit code 1.
pub fn become_bound(command: &[OsString], parent: u32) -> Result<(), CommandError> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| CommandError::new(Exit::Refused, "there is no program to run"))?;
    let failed = |error: &dyn std::fmt::Display| {
        CommandError::new(Exit::Failed, format!("failed to start {}: {error}", program.to_string_lossy()))
    };
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| failed(&error))?;
    // It may have died before that was asked for.
    if std::os::unix::process::parent_id() != parent {
        return Err(failed(&"its guard has ended"));
    }
    Err(failed(&Command::new(program).args(arguments).exec()))
}

fn signal(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}
