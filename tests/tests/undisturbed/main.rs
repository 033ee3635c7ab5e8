//! What must have the machine for itself: times are compared, or one user takes all that there is.
//! One test after the other runs, each holding `waiting::alone`.

mod booted_flood;
mod crowds_of_connections;
mod same_times;
