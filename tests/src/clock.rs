//! Time that passes when a test says so.
//!
//! The verifier's clock cannot be changed from outside, so a test that needs another one has the
//! program `verifier-at` of this package started instead: `auth required pam_mfa.so
//! verifier=/usr/libexec/verifier-at`, `mfa-setup --verifier /usr/libexec/verifier-at`. It reads
//! its clock from a file of root's.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::cache;
use crate::host::{Enrolled, Host, Output, Running};

/// Where the program is found in a host with [`Host::clock`].
pub const VERIFIER: &str = "/usr/libexec/verifier-at";

/// Holds its time, in seconds since the Unix epoch.
pub const CLOCK: &str = "/run/clock";

/// Waits until the machine's clock shows another second: times in a record are whole ones, and of two
/// in the same second neither is older.
pub fn next_second() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let next = Duration::from_secs(now().as_secs() + 1);
    while let Some(left) = next.checked_sub(now()) {
        thread::sleep(left);
    }
}

impl Host {
    /// Has the verifier whose clock is set by [`Running::set_clock`].
    #[must_use]
    pub fn clock(self) -> Self {
        self.bind(cache::program("verifier-at"), VERIFIER)
    }
}

impl Running {
    /// Sets the clock of the verifier that [`Host::clock`] gave.
    pub fn set_clock(&self, seconds: u64) {
        // Renamed, so that nobody reads half of it.
        self.write("/run/clock.new", seconds.to_string());
        std::fs::rename(self.path("/run/clock.new"), self.path(CLOCK)).unwrap();
    }

    /// [`Running::enrol_with`] at the time of that clock.
    pub fn enrol_by_clock(&self, user: &str, arguments: &[&str]) -> Enrolled {
        self.enrol_with(user, &[arguments, &["--verifier", VERIFIER]].concat())
    }

    /// `mfa-setup` for `user` at the time of that clock.
    pub fn setup_by_clock(&self, user: &str, arguments: &[&str]) -> Output {
        let options = ["--user", user, "--yes", "--verifier", VERIFIER];
        self.run(&[&["mfa-setup"], arguments, &options].concat())
    }

    /// What `mfa-setup status` says at the time of that clock.
    pub fn status_by_clock(&self, user: &str) -> Value {
        self.setup_by_clock(user, &["status", "--json"]).json()
    }
}
