//! Policies as an administrator writes them, and what each asks of whom: of the pure policy, and, in the
//! package of the tests that need a host, of a real sshd.

/// Who, at which service and from where, when, and what is asked.
///
/// - Who: a name and what is known of it (`alice enrolled required wheel`), or `?` for whom the host does not
///   know.
/// - Where: a service and where from (`sshd 192.0.2.7`, `login tty1`), and what else is to be said.
/// - When: by the clock of [`ZONE`], or with an offset from UTC.
pub type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// The zone of the host: Berlin's, as a rule of POSIX.
pub const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

pub const PLAIN: &str = "[policy]\nmode = \"required\"\n";
const OPTIONAL: &str = "[policy]\nmode = \"optional\"\n";
const OFF: &str = "[policy]\nmode = \"off\"\n";

/// Everybody but the backup robot, which comes from one address.
const ROBOT: &str = r#"
[[rule]]
users = ["robot"]
services = ["sshd"]
from = ["192.0.2.44"]
mode = "off"
"#;

/// Only wheel.
const WHEEL: &str = r#"
[policy]
mode = "off"
[[rule]]
groups = ["wheel", "admin"]
mode = "required"
"#;

/// Only from outside the office.
pub const OFFICE: &str = r#"
[policy]
trusted = ["192.0.2.0/24", "2001:db8:1::/48"]
"#;

/// Required from a day.
pub const DATED: &str = "[policy]\nrequired_from = 2026-12-01\n";
pub const MOMENT: &str = "[policy]\nrequired_from = 2026-12-01T08:00:00+01:00\n";

const BOUND: &str = r#"
[policy]
allow_from = ["192.0.2.0/24", "2001:db8::/32"]
"#;
const BOUND_BUT_CODES: &str = r#"
[policy]
allow_from = ["192.0.2.0/24"]
backup_codes_anywhere = true
"#;

const SOME_SERVICES: &str = "[policy]\nservices = [\"sshd\", \"sudo\"]\n";
const LEFT_OUT: &str = "[policy]\nservices = [\"!dovecot\"]\n";

/// At the console nobody is asked, at night everybody, in the day who has enrolled.
pub const HOURS: &str = r#"
[[rule]]
console = true
mode = "off"
[[rule]]
time = ["Mon-Fri 08:00-18:00", "Sat 22:00-02:00"]
mode = "optional"
"#;

const NOT_AT_CONSOLE: &str =
    "[policy]\nmode = \"off\"\n[[rule]]\nconsole = false\nmode = \"required\"\n";

/// Several keys must match, and the first rule holds.
const LAYERS: &str = r#"
[[rule]]
users = ["alice"]
groups = ["wheel"]
from = ["10.0.0.0/8"]
mode = "off"
[[rule]]
users = ["alice"]
methods = ["totp"]
[[rule]]
services = ["sudo", "su"]
mode = "optional"
[[rule]]
allow_from = ["10.0.0.0/8"]
"#;

/// A rule that lifts what `[policy]` says.
pub const LIFTED: &str = r#"
[policy]
allow_from = ["10.0.0.0/8"]
required_from = 2026-12-01
[[rule]]
users = ["alice"]
allow_from = []
required_from = ""
"#;

/// Cron is nobody's; who is on call is asked, and everybody else is not.
const LISTS: &str = r#"
[policy]
mode = "off"
[[rule]]
services = ["cron"]
mode = "off"
[[rule]]
users = ["robot"]
mode = "off"
[[rule]]
users = ["oncall"]
mode = "required"
"#;

const SCOPES: &str = r#"
[policy]
trusted = ["fe80::/10", "192.0.2.0/24", "::1"]
"#;

/// Root gets in at the console, whatever else is wrong.
const BREAK_GLASS: &str = r#"
[[rule]]
users = ["root"]
console = true
mode = "off"
"#;

/// A bound, and what goes before it or along with it.
const BOUND_OPTIONAL: &str = r#"
[policy]
mode = "optional"
allow_from = ["192.0.2.0/24"]
trusted = ["203.0.113.0/24"]
"#;
const BOUND_OFF: &str = "[policy]\nmode = \"off\"\nallow_from = [\"192.0.2.0/24\"]\n";
const BOUND_DATED: &str = r#"
[policy]
required_from = 2026-12-01
allow_from = ["192.0.2.0/24"]
"#;
const BOUND_WITHOUT_CODES: &str = r#"
[policy]
allow_from = ["192.0.2.0/24"]
backup_codes_anywhere = true
methods = ["totp"]
"#;

/// The office is trusted, but not with administrators.
const OFFICE_BUT_WHEEL: &str = r#"
[policy]
trusted = ["192.0.2.0/24"]
[[rule]]
groups = ["wheel"]
trusted = []
"#;

/// An hour that comes twice in October and not at all in March.
const SMALL_HOUR: &str = r#"
[[rule]]
time = ["02:00-03:00"]
mode = "off"
"#;

/// A Monday morning, eight days before the date.
const MONDAY: &str = "2026-11-23 10:00";

/// The table.
pub const ROWS: &[Row] = &[
    // The modes, and a first factor that sshd must have seen.
    (OFF, "alice enrolled", "sshd 192.0.2.7", MONDAY, "exempt ModeOff"),
    (OFF, "alice enrolled", "sshd 192.0.2.7 unproven", MONDAY, "deny NoFirstFactor"),
    (OFF, "?", "sshd 192.0.2.7", MONDAY, "deny UnknownUser"),
    (OFF, "alice", "login tty1 unproven", MONDAY, "exempt ModeOff"),
    (OFF, "alice enrolled", "su pts/0 nullok", MONDAY, "exempt ModeOff"),
    (OPTIONAL, "alice", "sshd 192.0.2.7", MONDAY, "exempt NotEnrolled"),
    (OPTIONAL, "alice", "sshd 192.0.2.7 unproven", MONDAY, "deny NoFirstFactor"),
    (OPTIONAL, "alice", "sudo pts/0 unproven", MONDAY, "exempt NotEnrolled"),
    (OPTIONAL, "alice enrolled", "sudo pts/0", MONDAY, "challenge"),
    (OPTIONAL, "alice enrolled", "sshd 192.0.2.7", MONDAY, "challenge"),
    (OPTIONAL, "?", "sshd 192.0.2.7", MONDAY, "challenge"),
    (PLAIN, "alice", "sshd 192.0.2.7", MONDAY, "challenge"),
    (PLAIN, "alice enrolled", "sshd 192.0.2.7 unproven", MONDAY, "challenge"),
    (PLAIN, "?", "su pts/0", MONDAY, "challenge"),
    (PLAIN, "alice", "su pts/0 nullok", MONDAY, "exempt NotEnrolled"),
    (PLAIN, "alice", "sshd 192.0.2.7 nullok unproven", MONDAY, "deny NoFirstFactor"),
    (PLAIN, "alice enrolled", "sshd 192.0.2.7 nullok", MONDAY, "challenge"),
    (PLAIN, "alice enrolled", "mfa-setup pts/0", MONDAY, "exempt ReAuthentication"),
    (PLAIN, "?", "mfa-setup pts/0", MONDAY, "deny UnknownUser"),
    // The backup robot.
    (ROBOT, "robot", "sshd 192.0.2.44", MONDAY, "exempt ModeOff #1"),
    (ROBOT, "robot", "sshd 192.0.2.44 unproven", MONDAY, "deny NoFirstFactor #1"),
    (ROBOT, "robot", "sshd ::ffff:192.0.2.44", MONDAY, "exempt ModeOff #1"),
    (ROBOT, "robot", "sshd 192.0.2.45", MONDAY, "challenge"),
    (ROBOT, "robot", "sshd backup.example.org", MONDAY, "challenge"),
    (ROBOT, "robot", "sshd", MONDAY, "challenge"),
    (ROBOT, "robot", "sudo pts/0", MONDAY, "challenge"),
    (ROBOT, "alice", "sshd 192.0.2.44", MONDAY, "challenge"),
    (ROBOT, "?", "sshd 192.0.2.44", MONDAY, "challenge"),
    // Only wheel. Who does not exist is asked as an administrator is, who has not enrolled, too.
    (WHEEL, "alice wheel", "sshd 192.0.2.7", MONDAY, "challenge #1"),
    (WHEEL, "alice admin enrolled", "sudo pts/0", MONDAY, "challenge #1"),
    (WHEEL, "bob", "sshd 192.0.2.7", MONDAY, "exempt ModeOff"),
    (WHEEL, "bob enrolled staff", "sshd 192.0.2.7", MONDAY, "exempt ModeOff"),
    (WHEEL, "bob", "sshd 192.0.2.7 unproven", MONDAY, "deny NoFirstFactor"),
    (WHEEL, "?", "sshd 192.0.2.7", MONDAY, "challenge #1"),
    // Only from outside the office.
    (OFFICE, "alice", "sshd 192.0.2.7", MONDAY, "exempt Trusted"),
    (OFFICE, "alice enrolled", "sshd 2001:db8:1:9::7", MONDAY, "exempt Trusted"),
    (OFFICE, "alice", "sshd 192.0.2.7 unproven", MONDAY, "deny NoFirstFactor"),
    (OFFICE, "alice", "sshd 192.0.3.7", MONDAY, "challenge"),
    (OFFICE, "alice", "sshd 2001:db8:2::7", MONDAY, "challenge"),
    (OFFICE, "alice", "sshd office.example.org", MONDAY, "challenge"),
    (OFFICE, "alice", "sshd", MONDAY, "challenge"),
    (OFFICE, "alice", "sudo pts/0", MONDAY, "challenge"),
    (OFFICE, "?", "sshd 192.0.2.7", MONDAY, "deny UnknownUser"),
    // A scope makes another host of it; so does a name.
    (SCOPES, "alice", "sshd fe80::1%eth0", MONDAY, "challenge"),
    (SCOPES, "alice", "sshd fe80::1", MONDAY, "exempt Trusted"),
    (SCOPES, "alice", "sshd ::1", MONDAY, "exempt Trusted"),
    (SCOPES, "alice", "sshd localhost", MONDAY, "challenge"),
    (SCOPES, "alice", "sshd 192.0.2.7%eth0", MONDAY, "challenge"),
    // Required from a day, at midnight on this host, an hour before UTC's.
    (DATED, "alice", "sshd 192.0.2.7", MONDAY, "notice 8"),
    (DATED, "alice", "sshd 192.0.2.7", "2026-11-30 23:59:59", "notice 1"),
    (DATED, "alice", "sshd 192.0.2.7", "2026-12-01 00:00:00", "challenge"),
    (DATED, "alice", "sshd 192.0.2.7 unproven", MONDAY, "deny NoFirstFactor"),
    (DATED, "alice enrolled", "sshd 192.0.2.7", MONDAY, "challenge"),
    (DATED, "?", "sshd 192.0.2.7", MONDAY, "challenge"),
    (MOMENT, "alice", "sshd 192.0.2.7", "2026-12-01 07:59:59", "notice 1"),
    (MOMENT, "alice", "sshd 192.0.2.7", "2026-11-30 07:59:59", "notice 2"),
    (MOMENT, "alice", "sshd 192.0.2.7", "2026-12-01 08:00", "challenge"),
    // Nothing from outside, or backup codes alone; nobody gets in there by having nothing.
    (BOUND, "alice enrolled", "sshd 192.0.2.7", MONDAY, "challenge"),
    (BOUND, "alice enrolled", "sshd 2001:db8::7", MONDAY, "challenge"),
    (BOUND, "alice enrolled", "sshd 198.51.100.7", MONDAY, "challenge for []"),
    (BOUND, "alice enrolled", "sshd home.example.org", MONDAY, "challenge for []"),
    (BOUND, "alice enrolled", "sshd", MONDAY, "challenge for []"),
    (BOUND, "alice enrolled", "sshd fe80::1%eth0", MONDAY, "challenge for []"),
    (BOUND, "alice enrolled", "login tty1", MONDAY, "challenge"),
    (BOUND, "alice enrolled", "sudo pts/0", MONDAY, "challenge"),
    (BOUND, "alice", "sshd 198.51.100.7 nullok", MONDAY, "challenge for []"),
    (BOUND, "?", "sshd 198.51.100.7", MONDAY, "challenge for []"),
    (
        BOUND_BUT_CODES,
        "alice enrolled",
        "sshd 198.51.100.7",
        MONDAY,
        "challenge for [\"backup_code\"]",
    ),
    (BOUND_BUT_CODES, "alice enrolled", "sshd 192.0.2.7", MONDAY, "challenge"),
    // Services that are not asked.
    (SOME_SERVICES, "alice", "sshd 192.0.2.7", MONDAY, "challenge"),
    (SOME_SERVICES, "alice enrolled", "login tty1", MONDAY, "exempt Service"),
    (SOME_SERVICES, "?", "login tty1", MONDAY, "deny UnknownUser"),
    // A code that somebody only wants to know about is no less wrong for that.
    (SOME_SERVICES, "alice", "judge", MONDAY, "challenge"),
    (SOME_SERVICES, "alice enrolled", "test pts/0", MONDAY, "challenge"),
    (LEFT_OUT, "alice", "dovecot 198.51.100.7", MONDAY, "exempt Service"),
    (LEFT_OUT, "alice", "sshd 198.51.100.7", MONDAY, "challenge"),
    // Consoles and hours.
    (HOURS, "alice enrolled", "login tty1", MONDAY, "exempt ModeOff #1"),
    (HOURS, "alice enrolled", "gdm-password :0", MONDAY, "exempt ModeOff #1"),
    (HOURS, "alice", "sudo pts/0", MONDAY, "exempt NotEnrolled #2"),
    (HOURS, "alice", "sshd 192.0.2.7", "2026-11-23 17:59", "exempt NotEnrolled #2"),
    (HOURS, "alice", "sshd 192.0.2.7", "2026-11-23 18:00", "challenge"),
    (HOURS, "alice", "sshd 192.0.2.7", "2026-11-29 01:59", "exempt NotEnrolled #2"),
    (HOURS, "alice", "sshd 192.0.2.7", "2026-11-28 01:59", "challenge"),
    (NOT_AT_CONSOLE, "alice", "login tty1", MONDAY, "exempt ModeOff"),
    (NOT_AT_CONSOLE, "alice", "sshd 192.0.2.7", MONDAY, "challenge #1"),
    (NOT_AT_CONSOLE, "alice", "sudo", MONDAY, "challenge #1"),
    // All keys of a rule, the first rule of all.
    (LAYERS, "alice wheel", "sshd 10.1.2.3", MONDAY, "exempt ModeOff #1"),
    (LAYERS, "alice", "sshd 10.1.2.3", MONDAY, "challenge for [\"totp\"] #2"),
    (LAYERS, "alice wheel", "sshd 11.1.2.3", MONDAY, "challenge for [\"totp\"] #2"),
    (LAYERS, "bob wheel", "sshd 10.1.2.3", MONDAY, "challenge #4"),
    (LAYERS, "bob", "sudo pts/0", MONDAY, "exempt NotEnrolled #3"),
    (LAYERS, "bob", "sshd 11.1.2.3", MONDAY, "challenge for [] #4"),
    (LIFTED, "alice", "sshd 192.0.2.7", MONDAY, "challenge #1"),
    (LIFTED, "bob", "sshd 10.1.2.3", MONDAY, "notice 8"),
    (LIFTED, "bob", "sshd 192.0.2.7", MONDAY, "challenge for []"),
    // Who is in no list that the system knows of.
    (LISTS, "oncall", "sshd 192.0.2.7", MONDAY, "challenge #3"),
    (LISTS, "?", "sshd 192.0.2.7", MONDAY, "challenge #3"),
    (LISTS, "alice", "sshd 192.0.2.7", MONDAY, "exempt ModeOff"),
    (LISTS, "?", "cron", MONDAY, "deny UnknownUser #1"),
    // Root's way in.
    (BREAK_GLASS, "root", "login tty1", MONDAY, "exempt ModeOff #1"),
    (BREAK_GLASS, "root enrolled", "sshd 192.0.2.7", MONDAY, "challenge"),
    (BREAK_GLASS, "root enrolled", "su pts/0", MONDAY, "challenge"),
    (BREAK_GLASS, "alice", "login tty1", MONDAY, "challenge"),
    (BREAK_GLASS, "?", "login tty1", MONDAY, "challenge"),
    // What goes before a bound, and what does not lift it.
    (BOUND_OPTIONAL, "alice", "sshd 192.0.2.7", MONDAY, "exempt NotEnrolled"),
    (BOUND_OPTIONAL, "alice", "sshd 198.51.100.7", MONDAY, "challenge for []"),
    (BOUND_OPTIONAL, "alice", "sshd 203.0.113.7", MONDAY, "exempt Trusted"),
    (BOUND_OPTIONAL, "alice", "login tty1", MONDAY, "exempt NotEnrolled"),
    (BOUND_OFF, "alice", "sshd 198.51.100.7", MONDAY, "exempt ModeOff"),
    (BOUND_DATED, "alice", "sshd 198.51.100.7", MONDAY, "challenge for []"),
    (BOUND_DATED, "alice", "sshd 192.0.2.7", MONDAY, "notice 8"),
    (BOUND_WITHOUT_CODES, "alice enrolled", "sshd 198.51.100.7", MONDAY, "challenge for []"),
    // A list that a rule empties.
    (OFFICE_BUT_WHEEL, "alice wheel", "sshd 192.0.2.7", MONDAY, "challenge #1"),
    (OFFICE_BUT_WHEEL, "bob", "sshd 192.0.2.7", MONDAY, "exempt Trusted"),
    (OFFICE_BUT_WHEEL, "?", "sshd 192.0.2.7", MONDAY, "challenge #1"),
    // A day that means nothing in a stack with nullok; and a clock that knows nothing.
    (DATED, "alice", "su pts/0 nullok", MONDAY, "exempt NotEnrolled"),
    (DATED, "alice", "su pts/0 nullok", "2026-12-02", "exempt NotEnrolled"),
    (DATED, "alice", "sshd 192.0.2.7", "1970-01-02", "notice 20787"),
    // The clock is put back, and forward.
    (SMALL_HOUR, "alice", "sshd 192.0.2.7", "2026-10-25T02:30:00+02:00", "exempt ModeOff #1"),
    (SMALL_HOUR, "alice", "sshd 192.0.2.7", "2026-10-25T02:30:00+01:00", "exempt ModeOff #1"),
    (SMALL_HOUR, "alice", "sshd 192.0.2.7", "2026-10-25T03:00:00+01:00", "challenge"),
    (SMALL_HOUR, "alice", "sshd 192.0.2.7", "2026-03-29T01:59:59+01:00", "challenge"),
    (SMALL_HOUR, "alice", "sshd 192.0.2.7", "2026-03-29T03:00:00+02:00", "challenge"),
    // Of whom it is required by name, whatever is said of all; where nobody's record is looked at, nothing is.
    (OPTIONAL, "alice required", "sshd 192.0.2.7", MONDAY, "challenge"),
    (OPTIONAL, "alice required", "sshd 192.0.2.7 unproven", MONDAY, "challenge"),
    (OPTIONAL, "alice required", "sudo pts/0 nullok", MONDAY, "challenge"),
    (OPTIONAL, "alice enrolled required", "sshd 192.0.2.7", MONDAY, "challenge"),
    (PLAIN, "alice required", "su pts/0 nullok", MONDAY, "challenge"),
    (PLAIN, "alice required", "sshd 192.0.2.7", MONDAY, "challenge"),
    (DATED, "alice required", "sshd 192.0.2.7", MONDAY, "challenge"),
    (MOMENT, "alice required", "su pts/0 nullok", MONDAY, "challenge"),
    (HOURS, "alice required", "sudo pts/0", MONDAY, "challenge #2"),
    (HOURS, "alice required", "login tty1", MONDAY, "exempt ModeOff #1"),
    (OFF, "alice required", "sshd 192.0.2.7", MONDAY, "exempt ModeOff"),
    (WHEEL, "bob required", "sshd 192.0.2.7", MONDAY, "exempt ModeOff"),
    (OFFICE, "alice required", "sshd 192.0.2.7", MONDAY, "exempt Trusted"),
    (OFFICE, "alice required", "sshd 198.51.100.7", MONDAY, "challenge"),
    (SOME_SERVICES, "alice required", "login tty1", MONDAY, "exempt Service"),
    (BOUND_OPTIONAL, "alice required", "login tty1", MONDAY, "challenge"),
    (PLAIN, "alice required", "mfa-setup pts/0", MONDAY, "exempt ReAuthentication"),
    // Addresses in other dress.
    (ROBOT, "robot", "sshd ::ffff:c000:22c", MONDAY, "exempt ModeOff #1"),
    (OFFICE, "alice", "sshd 2001:DB8:1:0::7", MONDAY, "exempt Trusted"),
];
