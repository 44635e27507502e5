//! Compiles the .proto files without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "wasmverse/gate/v1/gate.proto",
        "wasmverse/admin/v1/admin.proto",
        "wasmverse/node/v1/node.proto",
    ];
    println!("cargo::rerun-if-changed=wasmverse");
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    let set = protox::compile(files, ["."])?;
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&set))?;
    tonic_prost_build::configure().bytes(".").compile_fds(set)?;
    Ok(())
}
