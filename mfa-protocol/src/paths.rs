//! Where things lie. `make` sets these from PREFIX, SYSCONFDIR and LOCALSTATEDIR at build time;
//! nothing in the environment of a running program changes them.

/// The verifier that faces start, `$(PREFIX)/libexec/pam_mfa/mfa-verifier`.
pub const VERIFIER: &str = or(option_env!("PAM_MFA_VERIFIER"), "/usr/libexec/pam_mfa/mfa-verifier");

/// The program that the verifier starts to lead PAM's conversation with a person.
pub const REAUTH: &str = or(option_env!("PAM_MFA_REAUTH"), "/usr/libexec/pam_mfa/mfa-reauth");

/// The program that the verifier starts to send a mail.
pub const MAIL: &str = or(option_env!("PAM_MFA_MAIL"), "/usr/libexec/pam_mfa/mfa-mail");

/// The policy file.
pub const CONFIG: &str = or(option_env!("PAM_MFA_CONFIG"), "/etc/pam_mfa/config.toml");

/// The sealing key.
pub const KEY_FILE: &str = or(option_env!("PAM_MFA_KEY_FILE"), "/etc/pam_mfa/store.key");

/// The directory of the store.
pub const STORE: &str = or(option_env!("PAM_MFA_STORE"), "/var/lib/pam_mfa");

/// The socket of the resident verifier, for faces that are root.
pub const ROOT_SOCKET: &str = or(option_env!("PAM_MFA_ROOT_SOCKET"), "/run/pam_mfa/root.sock");

/// The socket for everybody else: a verifier for each connection.
pub const USER_SOCKET: &str = or(option_env!("PAM_MFA_USER_SOCKET"), "/run/pam_mfa/user.sock");

const fn or(configured: Option<&'static str>, default: &'static str) -> &'static str {
    match configured {
        Some(path) => path,
        None => default,
    }
}
