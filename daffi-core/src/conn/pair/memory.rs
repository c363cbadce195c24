//! What a connection holds of the memory.

use tokio::time::advance;

use super::*;

/// Small frames and large ones, whole and in pieces, from many peers, with memory to spare and with
/// none.
#[tokio::test(start_paused = true)]
async fn memory_of_what_was_read_is_counted_as_it_is_held() {
    const UNCOUNTED: usize = 8 * 1024;
    let mut rng = fastrand::Rng::with_seed(11);
    for (limit, bound) in [(256 * MIB, 400 * MIB), (4 * MIB, 8 * MIB)] {
        let budget = Budget::new(limit, 1.0, 100, 3 * MIB);
        let mut pairs: Vec<_> = (0..20).map(|_| (Pair::new(&budget, Level::FOUR), BytesMut::new())).collect();
        for _ in 0..1_000 {
            let (pair, rest) = &mut pairs[rng.usize(..20)];
            while rest.len() < 100_000 {
                let most = [100, 5_000, 100_000, 2 * MIB][rng.usize(..4)];
                rest.extend(request(rng.usize(..most)));
            }
            let most = [10, 1_000, 70_000, 100_000][rng.usize(..4)];
            pair.send(&rest.split_to(rng.usize(1..most)));
            assert!(pair.run().is_pending());
            advance(Duration::from_millis(10)).await;
            for (pair, _) in &pairs {
                let counted = pair.conn.inbound.account().held_bytes();
                let beyond =
                    pair.held_bytes().saturating_sub(UNCOUNTED).checked_sub(counted).expect("all was given back");
                assert!(beyond == 0 || limit < 256 * MIB, "{beyond} of {} are not counted", pair.held_bytes());
            }
            let held: usize = pairs.iter().map(|(pair, _)| pair.held_bytes()).sum();
            assert!(held < bound, "{held}");
        }
        pairs.iter().for_each(|(pair, rest)| pair.send(rest));
        while pairs.iter().any(|(pair, _)| pair.unread() > 0) {
            pairs.iter_mut().for_each(|(pair, _)| assert!(pair.run().is_pending()));
            advance(Duration::from_millis(50)).await;
        }
        assert!(pairs.iter().all(|(pair, _)| pair.conn.inbound.account().held_bytes() == 0));
        assert_eq!(budget.used_bytes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_bytes_of_a_frame_keep_no_large_buffer_when_memory_is_short() {
    let budget = Budget::new(16 * MIB, 1.0, 10_000, MIB);
    // Who comes first owns more.
    let others: Vec<_> = (0..64).map(|_| budget.open()).collect();
    let full = others[0].charge(16 * MIB);
    let mut pairs: Vec<_> = (0..100).map(|_| Pair::new(&budget, Level::FOUR)).collect();
    let small = request(100);
    for _ in 0..5 {
        for pair in &mut pairs {
            let many: Vec<u8> = (0..2_000).flat_map(|_| small.clone()).collect();
            pair.send(&many);
            pair.send(&small[..50]);
            assert!(pair.run().is_pending());
            assert!(pair.held_bytes() <= 20 * 1024, "{}", pair.held_bytes());
            pair.send(&small[50..]);
            assert!(pair.run().is_pending());
        }
    }
    assert!(pairs.iter().all(|pair| pair.driver.handler.handled == 5 * 2_001 && pair.held_bytes() <= 8 * 1024));
    drop(full);
}
