//! Time that passes when a test says so.
//!
//! The verifier's clock cannot be changed from outside, so a test that needs another one has the
//! program `verifier-at` of this package started instead, `auth required pam_mfa.so
//! verifier=/usr/libexec/verifier-at`, `mfa-setup --verifier /usr/libexec/verifier-at`; or it is what
//! is resident in a host with [`crate::Host::clock`], where the [`mode`] is that. It reads its clock from a
//! file of root's.
//!
//! [`crate::Host::clock`]: crate::Host::clock

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::host::{Enrolled, Output, Running};
use crate::mode;

/// Where the program is found in a host with [`crate::Host::clock`].
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

/// A zone file, `/etc/localtime`, of a rule of POSIX (`CET-1CEST,M3.5.0,M10.5.0/3`): of version 2 of
/// RFC 8536, with nothing but its footer.
pub fn zone_file(rule: &str) -> Vec<u8> {
    let mut block = b"TZif2".to_vec();
    block.extend([0; 15]);
    let counts = [0u32, 0, 0, 0, 1, 4];
    block.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    block.extend([&[0; 6][..], b"UTC\0"].concat());
    [&block[..], &block, format!("\n{rule}\n").as_bytes()].concat()
}

/// A line of a stack that is judged by that clock.
pub fn module() -> String {
    if mode::is_resident() {
        "auth required pam_mfa.so\n".to_owned()
    } else {
        format!("auth required pam_mfa.so verifier={VERIFIER}\n")
    }
}

/// What else `mfa-setup` is told for that.
fn options() -> &'static [&'static str] {
    if mode::is_resident() { &[] } else { &["--verifier", VERIFIER] }
}

impl Running {
    /// Sets the clock of the verifier that [`crate::Host::clock`] gave.
    ///
    /// [`crate::Host::clock`]: crate::Host::clock
    pub fn set_clock(&self, seconds: u64) {
        // Renamed, so that nobody reads half of it.
        self.write("/run/clock.new", seconds.to_string());
        std::fs::rename(self.path("/run/clock.new"), self.path(CLOCK)).unwrap();
    }

    /// [`Running::enrol_with`] at the time of that clock.
    pub fn enrol_by_clock(&self, user: &str, arguments: &[&str]) -> Enrolled {
        self.enrol_with(user, &[arguments, options()].concat())
    }

    /// `mfa-setup` for `user` at the time of that clock.
    pub fn setup_by_clock(&self, user: &str, arguments: &[&str]) -> Output {
        let who = ["--user", user, "--yes"];
        self.run(&[&["mfa-setup"], arguments, &who, options()].concat())
    }

    /// What `mfa-setup status` says at the time of that clock.
    pub fn status_by_clock(&self, user: &str) -> Value {
        self.setup_by_clock(user, &["status", "--json"]).json()
    }
}
