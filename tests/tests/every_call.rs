//! Faults at every system call: a code counts once, an answer comes in time, and the next login works.

use mfa_tests::sweep::{Given, Sweep, Verifier};

#[test]
fn a_spawned_login_survives_a_fault_at_any_of_its_calls() {
    Sweep::start(Verifier::Spawned, Given::Code).every_call();
}

#[test]
fn a_backup_code_survives_a_fault_at_any_call_of_a_spawned_login() {
    Sweep::start(Verifier::Spawned, Given::BackupCode).every_call();
}
