//! The process that listens for users beside a resident verifier, where there is no systemd.
//!
//! It is a program started anew, since it is the one that everybody on the host can connect to, and
//! the resident has the sealing key in its memory. Both end together.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mfa_sys::end_with_us;

use super::complain;

/// How often it is started at most.
const SETTLED: Duration = Duration::from_secs(1);

/// `mfa-verifier --listen-users`, as a child.
pub struct UsersListener {
    command: Command,
    child: Child,
    started: Instant,
}

impl UsersListener {
    /// Starts it, to listen on `socket`.
    ///
    /// # Errors
    /// Where no process can be made.
    pub fn start(socket: &Path, config: Option<&Path>) -> io::Result<Self> {
        let program: PathBuf = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.arg("--listen-users").arg(socket);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        command.env_clear().current_dir("/").stdin(Stdio::null());
        end_with_us(&mut command);
        let child = command.spawn()?;
        Ok(Self { command, child, started: Instant::now() })
    }

    /// Starts it again if it has ended. Root's logins do not depend on it, so whatever is wrong with it
    /// is only written down.
    pub fn revive(&mut self) {
        let Ok(Some(status)) = self.child.try_wait() else { return };
        complain(&format!("the process that listens for users has ended: {status}"));
        // One that ends at once would do so again. SIGTERM waits as long.
        thread::sleep(SETTLED.saturating_sub(self.started.elapsed()));
        self.started = Instant::now();
        match self.command.spawn() {
            Ok(child) => self.child = child,
            Err(error) => complain(&format!("nobody listens for users any more: {error}")),
        }
    }
}
