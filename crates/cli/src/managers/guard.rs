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
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::outcome::{CommandError, Exit};
use crate::terminal;

/// How long a manager may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// A shell adds the number of the signal that ended a program to this.
const SIGNALLED: u8 = 128;
/// The greatest number of a signal.
const LAST_SIGNAL: u8 = 64;
/// How often the manager is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Runs a program with its arguments in a process group of its own until it ends or standard input does. While another
/// guard holds the lock, it is not started. Returns its exit code, where it was told to stop 0, and for a signal what a
/// shell makes of it; who started the guard says how the manager has ended.
///
/// # Errors
/// Exit code 1 if it cannot be started.
pub fn guard(command: &[OsString], lock: Option<&Path>) -> Result<u8, CommandError> {
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
                Ok(false) => return Ok(0),
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
            return Ok(if stopping.is_some() { 0 } else { exit_code(status) });
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

/// The exit code that stands for a program's end: of a program that a signal has ended, as in a shell, [`SIGNALLED`] and its
/// number.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| i32::from(SIGNALLED) + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// How a program has ended, by the exit code of its guard.
pub(super) fn ending(code: u8) -> ExitStatus {
    match code.checked_sub(SIGNALLED) {
        Some(signal) if (1..=LAST_SIGNAL).contains(&signal) => ExitStatus::from_raw(i32::from(signal)),
        _ => ExitStatus::from_raw(i32::from(code) << 8),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_of_a_guard_says_how_its_program_ended() {
        let ends = [(0, "exit status: 0"), (3 << 8, "exit status: 3"), (255 << 8, "exit status: 255")];
        for (status, text) in ends.into_iter().chain([(9, "signal: 9 (SIGKILL)"), (15, "signal: 15 (SIGTERM)")]) {
            assert_eq!(ending(exit_code(ExitStatus::from_raw(status))).to_string(), text);
        }
    }
}
