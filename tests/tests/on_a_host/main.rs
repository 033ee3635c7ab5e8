//! What happens on a host: logins, enrolments, attacks, faults, each test in a container of its own.
//!
//! All of it is one program, so that the tests keep the processors busy to the end. What must have the
//! machine for itself is in `undisturbed`.

mod booted_host;
mod booted_resident;
mod booted_self_service;
mod codes_by_mail;
mod command_line;
mod command_line_errors;
mod command_line_files;
mod common_auth;
mod crashes;
mod damage;
mod debian_orders;
mod debian_package;
mod demo;
mod durability;
mod enrolment;
mod enrolment_at_login;
mod every_call;
mod fail_closed;
mod failing_disks;
mod forward_pass;
mod hostile_bytes;
mod hostile_callers;
mod hostile_users;
mod hosts;
mod installation;
mod lockout;
mod login_at_a_terminal;
mod login_over_ssh;
mod mail;
mod names_and_text;
mod nobodys_child;
mod pam_calls;
mod planted_files;
mod policies_of_the_readme;
mod policy_rules;
mod policy_table;
mod policy_unsure;
mod races;
mod readme;
mod reauthentication;
mod remembered;
mod replay;
mod resident;
mod resident_beside;
mod resident_deaths;
mod same_words;
mod screen_lockers;
mod self_service;
mod self_service_accounts;
mod self_service_interrupted;
mod self_service_refused;
mod tokens;
mod users_listener;
