//! What a user has no right to do to a process or file of root's.

use crate::host::Running;

impl Running {
    /// Lets `user` try this, which must fail for want of a permission and of nothing else.
    #[track_caller]
    pub fn denies<S: AsRef<str> + std::fmt::Debug>(&self, user: &str, argv: &[S]) {
        let output = self.run_as(user, argv);
        assert_ne!(output.code, Some(0), "{argv:?}");
        let denied =
            ["not permitted", "ermission denied"].iter().any(|no| output.stderr.contains(no));
        assert!(denied, "{argv:?}: {output:?}");
    }

    /// Lets `user` try all that could stop, slow down, look into or enter this process.
    #[track_caller]
    pub fn denies_any_hold_on(&self, pid: &str, user: &str) {
        for signal in
            ["0", "STOP", "TSTP", "CONT", "TERM", "KILL", "INT", "HUP", "QUIT", "ALRM", "SEGV"]
        {
            self.denies(user, &["kill", &format!("-{signal}"), pid]);
        }
        for argv in [
            &["prlimit", "--pid", pid, "--fsize=0"][..],
            &["renice", "-n", "19", "-p", pid],
            &["strace", "-p", pid],
            &["nsenter", "--target", pid, "--mount", "true"],
            &["cat", &format!("/proc/{pid}/environ")],
            &["cat", &format!("/proc/{pid}/maps")],
            &["cat", &format!("/proc/{pid}/syscall")],
            &["ls", &format!("/proc/{pid}/fd/")],
            &["sh", "-c", &format!("echo 1000 > /proc/{pid}/oom_score_adj")],
        ] {
            self.denies(user, argv);
        }
    }
}
