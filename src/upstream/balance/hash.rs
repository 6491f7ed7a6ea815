//! The hash of keys and endpoints. Fixed for good: the same key leads to the same endpoint on every core,
//! after a restart, and on every other machine with the same endpoints. Pure.

/// FNV-1a over the bytes, and the finaliser of MurmurHash3, which spreads short and similar keys over all
/// bits. Keys that collide can be made up; bounded load limits what that is good for.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// One hash of two.
pub(crate) fn combine(a: u64, b: u64) -> u64 {
    mix(a ^ b.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ bits >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of these values moves the keys of every user.
    #[test]
    fn hashes_never_change() {
        assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(hash(b"127.0.0.1:9001"), hash("127.0.0.1:9001".as_bytes()));
        assert_ne!(hash(b"a"), hash(b"b"));
        assert_ne!(combine(1, 2), combine(2, 1));
    }
}
