//! A fault at every system call: a code counts once, an answer comes in time, and the next login works.

use mfa_tests::sweep::{Given, Sweep, Tally, Verifier};

/// Faults came before the record was written, and after it, and some did no harm.
#[track_caller]
fn at_all_times(tally: &Tally) {
    let Tally { granted, refused_before, refused_after, .. } = tally;
    assert!(*granted > 0 && *refused_before > 0 && *refused_after > 0, "{tally}");
}

#[test]
fn a_fault_at_any_call_of_a_logins_own_verifier_costs_a_refusal_at_most() {
    at_all_times(&Sweep::start(Verifier::Spawned, Given::Code).every_call());
}

#[test]
fn a_fault_at_any_call_of_a_backup_codes_own_verifier_costs_a_refusal_at_most() {
    at_all_times(&Sweep::start(Verifier::Spawned, Given::BackupCode).every_call());
}

#[test]
fn a_fault_at_any_call_of_the_resident_verifier_costs_a_refusal_at_most() {
    at_all_times(&Sweep::start(Verifier::Warm, Given::Code).every_call());
}

#[test]
fn a_fault_at_any_call_for_a_backup_code_of_the_resident_verifier_costs_a_refusal_at_most() {
    at_all_times(&Sweep::start(Verifier::Warm, Given::BackupCode).every_call());
}

#[test]
fn a_fault_at_any_call_of_a_resident_verifier_just_started_costs_a_refusal_at_most() {
    at_all_times(&Sweep::start(Verifier::Fresh, Given::Code).every_call());
}

#[test]
fn a_fault_at_any_call_of_a_resident_verifier_that_closes_a_db_costs_nothing() {
    let tally = Sweep::start(Verifier::Asked, Given::Code).every_call();
    assert!(tally.granted > 0 && tally.refused_before + tally.refused_after == 0, "{tally}");
}
