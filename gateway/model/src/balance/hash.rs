//! Hashes that give a client the same target as long as it is there.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1 with 64 bits.
#[must_use]
pub fn fnv1(bytes: &[u8]) -> u64 {
    bytes.iter().fold(OFFSET, |hash, byte| hash.wrapping_mul(PRIME) ^ u64::from(*byte))
}

/// FNV-1a with 64 bits, over several texts as if they were one.
#[must_use]
pub fn fnv1a(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().copied().flatten();
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// How much a target wants a client, as Traefik computes it: the highest score gets the client. Taking a target away
/// moves only its own clients, and a target gets a share of clients as large as its weight.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a score is as good with the 53 bits that count")]
pub fn rendezvous(client: &[u8], target: &[u8], weight: u32) -> f64 {
    let hash = fnv1a(&[client, target]);
    let uniform = hash as f64 / 2_f64.powi(64);
    f64::from(weight) / -uniform.ln()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn published_vectors() {
        assert_eq!(fnv1(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1(b"a"), 0xaf63_bd4c_8601_b7be);
        assert_eq!(fnv1a(&[b"a"]), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(&[b"foo", b"bar"]), 0x8594_4171_f739_67e8);
    }

    fn chosen(client: usize, targets: &[(&str, u32)]) -> usize {
        let client = format!("10.0.{}.{}", client / 256, client % 256);
        let score = |(name, weight): &(&str, u32)| rendezvous(client.as_bytes(), name.as_bytes(), *weight);
        let best = (0..targets.len()).max_by(|a, b| score(&targets[*a]).total_cmp(&score(&targets[*b])));
        best.unwrap_or(usize::MAX)
    }

    #[test]
    fn shares_are_as_weights_say_and_only_the_lost_targets_clients_move() {
        let all = [("http://10.1.0.1:80", 2), ("http://10.1.0.2:80", 1), ("http://10.1.0.3:80", 1)];
        let mut counts = [0; 3];
        for client in 0..8000 {
            let at = chosen(client, &all);
            counts[at] += 1;
            let without = chosen(client, &all[..2]);
            assert!(at == 2 || without == at, "client {client} moved although its target stayed");
        }
        // FNV spreads names that are so alike only roughly.
        assert!((3000..5000).contains(&counts[0]), "{counts:?}");
        assert!((1400..2700).contains(&counts[1]) && (1400..2700).contains(&counts[2]), "{counts:?}");
    }
}
