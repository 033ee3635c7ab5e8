//! What must have the machine for itself: times are compared, a bound is a second, or one user takes all
//! that there is.
//! One test after the other runs, each holding `waiting::alone`.

mod booted_flood;
mod crowds_of_connections;
mod one_processor;
mod policy_times;
mod resident_limits;
mod resident_races;
mod same_times;
