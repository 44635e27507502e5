//! A new migration is embedded without touching any source file.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
