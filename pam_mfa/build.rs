//! How the module is linked. Only `pam_sm_*` are exported: rustc hides everything else of a cdylib.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // nodelete: libpam unloads modules in pam_end, while destructors of this module's thread-local
    // values may still be due in the host's threads.
    // defs: a symbol that no library provides is an error here and not in the middle of a login.
    // relro, now: what the loader has filled in can no longer be written.
    for flag in ["nodelete", "defs", "relro", "now"] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,{flag}");
    }
}
