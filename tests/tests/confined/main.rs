//! People who log in where the kernel confines programs, in a virtual machine for each way of that.

mod apparmor;
mod everyday;
mod selinux;
