//! The bindings that lie here are those of the contract that lies in `wit/`.

#[test]
fn the_bindings_were_generated_from_the_contract_as_it_is() {
    let contract = include_bytes!("../../wit/object.wit");
    // FNV-1a, 64 bits.
    let hash = contract.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    assert_eq!(
        include_str!("../src/generated/contract.fnv1a").trim(),
        format!("{hash:016x}"),
        "wit/object.wit changed: generate the bindings anew as src/generated.rs says, \
         then write the hash on the right into src/generated/contract.fnv1a"
    );
}
