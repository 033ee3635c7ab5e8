//! The service file, which must be there and must say something.
//!
//! For a service without a file, and for a type of which the file has no line, libpam goes by the
//! file `other`. That is nobody's statement about second factors, and some hosts permit everything
//! in it.

use std::io;
use std::path::Path;

use mfa_protocol::REAUTH_SERVICE;
use mfa_protocol::message::Failure;

use crate::failure;

/// Where libpam looks for it, in this order.
pub const DIRECTORIES: &[&str] = &["/etc/pam.d", "/usr/lib/pam.d"];

/// Fails unless the first service file in `directories` is the one that will decide.
pub fn require(directories: &[&str]) -> Result<(), Failure> {
    for directory in directories {
        let path = Path::new(directory).join(REAUTH_SERVICE);
        match std::fs::read(&path) {
            Ok(stack) if decides(&String::from_utf8_lossy(&stack)) => return Ok(()),
            Ok(_) => {
                let path = path.display();
                return Err(failure::unusable(&format!("{path} lacks lines for auth or account")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failure::unusable(&format!("{}: {error}", path.display()))),
        }
    }
    Err(Failure {
        hint: "install it; pam_mfa's documentation has it among the examples".to_owned(),
        ..failure::unusable(
            "the PAM service mfa-setup is missing: there is no /etc/pam.d/mfa-setup",
        )
    })
}

/// Whether there are lines of both types. What is included counts as both: a file that is not
/// there, or has an error in it, libpam refuses itself.
fn decides(stack: &str) -> bool {
    let first = |line: &str| line.split_whitespace().next().map(str::to_ascii_lowercase);
    let types: Vec<_> = stack.lines().filter_map(first).collect();
    let has = |kind: &str| types.iter().any(|it| it.trim_start_matches('-') == kind);
    has("@include") || (has("auth") && has("account"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::message::FailureKind;
    use std::fs;

    #[test]
    fn a_stack_decides_that_has_lines_of_both_types() {
        for stack in [
            "@include common-auth\n@include common-account\n",
            "auth required pam_unix.so\naccount required pam_unix.so\n",
            "# ours\n\tAUTH required pam_unix.so\n-account required pam_unix.so\n",
        ] {
            assert!(decides(stack), "{stack}");
        }
        for stack in [
            "",
            "\n# auth required pam_unix.so\n# account required pam_unix.so\n",
            "auth required pam_unix.so\n",
            "account required pam_unix.so\n",
            "session required pam_unix.so\npassword required pam_unix.so\n",
        ] {
            assert!(!decides(stack), "{stack:?}");
        }
    }

    #[test]
    fn the_first_file_decides_and_without_one_nobody_does() {
        let root = std::env::temp_dir().join(format!("mfa-reauth-{}", std::process::id()));
        let [ours, vendors] = ["etc", "usr"].map(|name| root.join(name).display().to_string());
        let both = [ours.as_str(), vendors.as_str()];
        let file = |directory: &str| Path::new(directory).join("mfa-setup");
        fs::create_dir_all(&ours).unwrap();
        fs::create_dir_all(&vendors).unwrap();
        let missing = require(&both).unwrap_err();
        fs::write(file(&vendors), "@include common-auth\n").unwrap();
        let found = require(&both);
        fs::write(file(&ours), "").unwrap();
        let empty = require(&both).unwrap_err();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(missing.kind, FailureKind::Unusable);
        assert!(missing.error.contains("/etc/pam.d/mfa-setup"), "{}", missing.error);
        found.unwrap();
        assert_eq!(empty.kind, FailureKind::Unusable);
    }
}
