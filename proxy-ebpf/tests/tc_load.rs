//! The programs load: the kernel's verifier takes them, with how many instructions it looked at.
#![allow(clippy::unwrap_used, reason = "the file is a test")]

mod packets;

use packets::bed::Bed;

/// What the verifier may look at for one program, less than a third of its limit of a million.
const MOST_INSTRUCTIONS: u32 = 300_000;

#[test]
fn the_verifier_takes_the_programs_at_a_modest_cost() {
    let mut bed = Bed::new();
    for name in ["ingress", "egress", "ingress_l3", "egress_l3"] {
        let info = bed.program(name).info().unwrap();
        let instructions = info.verified_instruction_count().unwrap();
        println!("{name}: {instructions} instructions verified, {} bytes", info.size_jitted());
        assert!(instructions < MOST_INSTRUCTIONS, "{name}: {instructions}");
    }
}
