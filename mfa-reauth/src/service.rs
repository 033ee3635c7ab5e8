//! The service file, which must be there and must say something.
//!
//! For a service without a file, and for a type of which the file has no line, libpam goes by the
//! file `other`. That is nobody's statement about second factors, and some hosts permit everything
//! in it.

use mfa_protocol::REAUTH_SERVICE;
use mfa_protocol::message::Failure;
pub use mfa_protocol::pam_service::DIRECTORIES;
use mfa_protocol::pam_service::{self, Part};
use mfa_protocol::trusted::Untrusted;

use crate::failure;

/// Fails unless the first service file in `directories` is the one that will decide.
pub fn require(directories: &[&str]) -> Result<(), Failure> {
    match pam_service::load(directories, REAUTH_SERVICE) {
        Ok(_) => {}
        Err(Untrusted::Missing(_)) => {
            return Err(Failure {
                hint: "install it; pam_mfa's documentation has it among the examples".to_owned(),
                ..failure::unusable(
                    "the PAM service mfa-setup is missing: there is no /etc/pam.d/mfa-setup",
                )
            });
        }
        Err(error) => {
            return Err(Failure {
                hint: error.hint(),
                ..failure::unusable(&format!("the PAM service {REAUTH_SERVICE}: {error}"))
            });
        }
    }
    let load = |name: &str| pam_service::load(directories, name).ok();
    match ["auth", "account"].iter().find(|kind| !decides(kind, &load)) {
        None if lets_root_pass(&load) => Err(Failure {
            hint: "take the line of pam_rootok.so out; a stack of su is none for this".to_owned(),
            ..failure::unusable(&format!(
                "the PAM service {REAUTH_SERVICE} lets everybody pass: it is root who asks it, and \
                 pam_rootok.so asks root for nothing"
            ))
        }),
        None => Ok(()),
        Some(kind) => Err(failure::unusable(&format!(
            "the PAM service {REAUTH_SERVICE} has no line of type {kind}"
        ))),
    }
}

/// Whether a first factor is not asked for, since the process that asks is root's.
fn lets_root_pass(load: &dyn Fn(&str) -> Option<String>) -> bool {
    let lines = pam_service::read(REAUTH_SERVICE, "auth", load).unwrap_or_default();
    lines
        .iter()
        .any(|line| matches!(&line.part, Part::Module { name, .. } if name == "pam_rootok.so"))
}

/// Whether there is a line of this type, in the file itself or in one that it takes in. A file that
/// has none, or is not there, is no statement.
fn decides(kind: &str, load: &dyn Fn(&str) -> Option<String>) -> bool {
    let lines = pam_service::read(REAUTH_SERVICE, kind, load).unwrap_or_default();
    lines.iter().any(|line| matches!(line.part, Part::Module { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::message::FailureKind;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    #[test]
    fn a_stack_decides_that_has_lines_of_both_types_or_takes_them_in() {
        let load = |name: &str| match name {
            "common-auth" => Some("auth required pam_unix.so\n"),
            "common-account" => Some("account required pam_unix.so\n"),
            "both" => Some("@include common-auth\n@include common-account\n"),
            "itself" => Some("@include itself\n"),
            _ => None,
        };
        let both = |stack: &str| {
            let load = |name: &str| {
                let file = if name == REAUTH_SERVICE { Some(stack) } else { load(name) };
                file.map(str::to_owned)
            };
            ["auth", "account"].iter().all(|kind| decides(kind, &load))
        };
        for stack in [
            "@include common-auth\n@include common-account\n",
            "@include both\n",
            "auth required pam_unix.so\naccount required pam_unix.so\n",
            "auth include common-auth\naccount substack common-account\n",
            "# ours\n\tAUTH required pam_unix.so\n-account required pam_unix.so\n",
        ] {
            assert!(both(stack), "{stack}");
        }
        for stack in [
            "",
            "\n# auth required pam_unix.so\n# account required pam_unix.so\n",
            "auth required pam_unix.so\n",
            "account required pam_unix.so\n",
            "session required pam_unix.so\npassword required pam_unix.so\n",
            "@include common-auth\n",
            "@include common-account\n",
            "@include itself\n",
            "@include nothing\n",
            "@include\n",
            // Empty for libpam too, which would go by the file "other" then.
            "auth include common-account\naccount required pam_unix.so\n",
            "auth include nothing\naccount required pam_unix.so\n",
        ] {
            assert!(!both(stack), "{stack:?}");
        }
    }

    #[test]
    fn what_lets_root_pass_is_no_first_factor_of_anybodys() {
        let passes = |stack: &str| {
            let load = |name: &str| match name {
                REAUTH_SERVICE => Some(stack.to_owned()),
                "su" => {
                    Some("auth sufficient pam_rootok.so\nauth required pam_unix.so\n".to_owned())
                }
                _ => None,
            };
            lets_root_pass(&load)
        };
        for stack in [
            "auth sufficient pam_rootok.so\nauth required pam_unix.so\n",
            "-auth [success=done] /lib/security/pam_rootok.so\n",
            "auth include su\naccount required pam_unix.so\n",
        ] {
            assert!(passes(stack), "{stack}");
        }
        for stack in [
            "auth required pam_unix.so\naccount sufficient pam_rootok.so\n",
            "# auth sufficient pam_rootok.so\nauth required pam_unix.so\n",
        ] {
            assert!(!passes(stack), "{stack}");
        }
    }

    #[test]
    fn the_first_file_decides_and_without_one_nobody_does() {
        let root = format!("/var/cache/pam_mfa-tests/unit/reauth-{}", std::process::id());
        let [ours, vendors] = ["etc", "usr"].map(|name| format!("{root}/{name}"));
        let both = [ours.as_str(), vendors.as_str()];
        let file = |directory: &str| Path::new(directory).join("mfa-setup");
        fs::create_dir_all(&ours).expect("these tests run as root");
        fs::create_dir_all(&vendors).unwrap();
        let missing = require(&both).unwrap_err();
        fs::write(Path::new(&vendors).join("both"), "auth x y\naccount x y\n").unwrap();
        fs::write(file(&vendors), "@include both\n").unwrap();
        let found = require(&both);
        let of_su = "auth sufficient pam_rootok.so\nauth x y\naccount x y\n";
        fs::write(file(&ours), of_su).unwrap();
        let passes_root = require(&both).unwrap_err();
        fs::write(file(&ours), "").unwrap();
        let empty = require(&both).unwrap_err();
        fs::set_permissions(file(&ours), Permissions::from_mode(0o666)).unwrap();
        let foreign = require(&both).unwrap_err();
        fs::remove_dir_all(&root).unwrap();
        assert!(passes_root.error.contains("lets everybody pass"), "{}", passes_root.error);
        assert_eq!(missing.kind, FailureKind::Unusable);
        assert!(missing.error.contains("/etc/pam.d/mfa-setup"), "{}", missing.error);
        found.unwrap();
        assert_eq!(empty.kind, FailureKind::Unusable);
        assert!(empty.error.ends_with("has no line of type auth"), "{}", empty.error);
        assert!(foreign.error.contains("can be written by others"), "{}", foreign.error);
        assert!(foreign.hint.contains("chmod go-w"), "{}", foreign.hint);
    }
}
