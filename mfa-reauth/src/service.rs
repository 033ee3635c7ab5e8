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

/// How deep files may include each other, as libpam has it.
const DEEPEST: usize = 32;

/// Fails unless the first service file in `directories` is the one that will decide.
pub fn require(directories: &[&str]) -> Result<(), Failure> {
    let load = |name: &str| load(directories, name);
    match load(REAUTH_SERVICE) {
        Some(Ok(stack)) => {
            match ["auth", "account"].iter().find(|kind| !decides(&stack, kind, &load, 0)) {
                None => Ok(()),
                Some(kind) => Err(failure::unusable(&format!(
                    "the PAM service {REAUTH_SERVICE} has no line of type {kind}"
                ))),
            }
        }
        Some(Err(error)) => {
            Err(failure::unusable(&format!("the PAM service {REAUTH_SERVICE}: {error}")))
        }
        None => Err(Failure {
            hint: "install it; pam_mfa's documentation has it among the examples".to_owned(),
            ..failure::unusable(
                "the PAM service mfa-setup is missing: there is no /etc/pam.d/mfa-setup",
            )
        }),
    }
}

/// The first file of this name; none where there is none.
fn load(directories: &[&str], name: &str) -> Option<io::Result<String>> {
    directories.iter().find_map(|directory| {
        // An absolute name stands for itself.
        match std::fs::read(Path::new(directory).join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(read.map(|stack| String::from_utf8_lossy(&stack).into_owned())),
        }
    })
}

/// Whether there is a line of this type, in the file itself or in one that it takes in whole
/// (`@include`). A file that is not there libpam refuses itself.
fn decides(
    stack: &str,
    kind: &str,
    load: &dyn Fn(&str) -> Option<io::Result<String>>,
    depth: usize,
) -> bool {
    stack.lines().any(|line| {
        let mut words = line.split_whitespace();
        let Some(first) = words.next().map(str::to_ascii_lowercase) else { return false };
        if first == "@include" && depth < DEEPEST {
            let included = words.next().and_then(load).and_then(Result::ok);
            return included.is_some_and(|stack| decides(&stack, kind, load, depth + 1));
        }
        first.trim_start_matches('-') == kind
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::message::FailureKind;
    use std::fs;

    #[test]
    fn a_stack_decides_that_has_lines_of_both_types_or_takes_them_in() {
        let load = |name: &str| match name {
            "common-auth" => Some(Ok("auth required pam_unix.so\n".to_owned())),
            "common-account" => Some(Ok("account required pam_unix.so\n".to_owned())),
            "both" => Some(Ok("@include common-auth\n@include common-account\n".to_owned())),
            "itself" => Some(Ok("@include itself\n".to_owned())),
            "unreadable" => Some(Err(io::Error::other("no"))),
            _ => None,
        };
        let both =
            |stack: &str| ["auth", "account"].iter().all(|kind| decides(stack, kind, &load, 0));
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
            "@include unreadable\n",
            "@include nothing\n",
            "@include\n",
        ] {
            assert!(!both(stack), "{stack:?}");
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
        fs::write(Path::new(&vendors).join("both"), "auth x y\naccount x y\n").unwrap();
        fs::write(file(&vendors), "@include both\n").unwrap();
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
