//! The process's allocator: mimalloc, with a mark for very large requests (and, in tests, a count of all),
//! with the system's allocator for what the threads of scripts ask for ([`small_from_system`]), and with a
//! place of their own for the pages of Luau's heaps ([`pages`]).
//!
//! The mark is a bound on what one event of the stream can take, where the event source has none.
//! `reqwest-eventsource` collects an event in contiguous buffers of its own (the line, the data, the
//! bytes that are not yet UTF-8) without a limit, and shows neither the bytes nor the buffers. But a
//! buffer cannot grow past a size without asking the allocator for at least that size in one piece.
//! So a request of [`SUSPICIOUS`] bytes or more leaves a mark on the thread that made it. [`watch`] reads the mark
//! after a poll of the source. A request below that size costs the comparison and nothing else, and no
//! other thread is ever asked about its mark.
//!
//! The bound holds because a stream has a thread and a single-threaded runtime of its own: while the
//! source is polled, the connection's task cannot run and hand over more, so that each poll sees one
//! chunk (HTTP/1, at most some 400 KiB) and the mark is read between any two.

mod pages;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use mimalloc::MiMalloc;

/// The largest payload that is passed on, bytes.
pub const EVENT_BYTES: usize = 8 << 20;

/// A single allocation that no event of [`EVENT_BYTES`] needs: a growing buffer doubles, so one that
/// holds such an event, its field name and the chunk that came with its end asks for little more than
/// twice its size.
pub const SUSPICIOUS: usize = 2 * EVENT_BYTES + (4 << 20);

/// The largest request that the system's allocator serves, in bytes. What Luau asks for is larger: it keeps
/// smaller values in pages. So what a script fills its memory with goes back to the system when it is freed.
const SMALL: usize = 1 << 10;

thread_local! {
    static MARK: Cell<bool> = const { Cell::new(false) };
    static SMALL_FROM_SYSTEM: Cell<bool> = const { Cell::new(false) };
    #[cfg(test)]
    static REQUESTS: Cell<usize> = const { Cell::new(0) };
    #[cfg(test)]
    static PAGES: Cell<usize> = const { Cell::new(0) };
    #[cfg(test)]
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// The allocator. A request below [`pages::LEAST`] costs one comparison more than mimalloc's.
struct Host;

#[global_allocator]
static ALLOCATOR: Host = Host;

/// Somebody asks for so much.
#[inline]
fn note(bytes: usize) {
    #[cfg(test)]
    {
        let _ = REQUESTS.try_with(|requests| requests.set(requests.get() + 1));
        let _ = BYTES.try_with(|sum| sum.set(sum.get().wrapping_add(bytes)));
    }
    if bytes >= SUSPICIOUS {
        // A constant `Cell` has neither initialiser nor destructor: this cannot allocate. During the
        // thread's end there is nobody to tell.
        let _ = MARK.try_with(|mark| mark.set(true));
    }
}

/// From here on the system's allocator serves this thread's requests of up to [`SMALL`] bytes. mimalloc has
/// pages for each size that a thread asks for, of which it touches at least one: where a thread asks for
/// little of many sizes, as that of a script does, that is 50 KiB more than where they lie side by side. For
/// all other threads mimalloc is better: what is made on one thread is freed on another without a lock.
pub fn small_from_system() {
    SMALL_FROM_SYSTEM.set(true);
}

/// Whether a request of this thread is for the system's allocator.
#[inline]
fn is_for_system(size: usize) -> bool {
    size <= SMALL && SMALL_FROM_SYSTEM.try_with(Cell::get).unwrap_or_default()
}

/// Whether a block of so many bytes is from the system's allocator, whichever thread asked for it.
#[inline]
fn is_from_system(pointer: *mut u8, size: usize) -> bool {
    // SAFETY: it looks the address up in mimalloc's map of its pages, for any address. Those pages are whole
    // slices of 64 KiB, in which nobody else has memory.
    size <= SMALL && !unsafe { libmimalloc_sys::mi_is_in_heap_region(pointer.cast()) }
}

/// Where memory of this layout is from, if it is one of Luau's pages.
#[inline]
fn blocks(layout: Layout) -> Option<pages::Blocks> {
    if layout.size() < pages::LEAST {
        return None;
    }
    pages::blocks(layout)
}

// SAFETY: whether memory is from `pages` depends on its layout alone, which is the same when it is taken and
// when it is given back. Everything else passes to `MiMalloc` or `System` unchanged, and so does the answer:
// their guarantees are this allocator's. Which of the two it was is looked up, where it may have been either.
// `pages` promises the same, and `note` neither allocates nor unwinds.
unsafe impl GlobalAlloc for Host {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        match blocks(layout) {
            // SAFETY: the caller's promises about `layout` are the ones that both need.
            None if is_for_system(layout.size()) => unsafe { System.alloc(layout) },
            // SAFETY: as above.
            None => unsafe { MiMalloc.alloc(layout) },
            // SAFETY: a slab's layout is not empty.
            Some(blocks) => blocks.take(|slab| unsafe { MiMalloc.alloc(slab) }),
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if blocks(layout).is_none() {
            note(layout.size());
            return match is_for_system(layout.size()) {
                // SAFETY: as for `alloc`.
                true => unsafe { System.alloc_zeroed(layout) },
                // SAFETY: as for `alloc`.
                false => unsafe { MiMalloc.alloc_zeroed(layout) },
            };
        }
        // SAFETY: as the caller promises; what comes has as many bytes.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that this is a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if blocks(layout).is_none() && blocks(wanted).is_none() {
            match is_from_system(pointer, layout.size()) {
                false => {
                    note(size);
                    // SAFETY: `pointer` came from `MiMalloc`, by `alloc` above, with this layout.
                    return unsafe { MiMalloc.realloc(pointer, layout, size) };
                }
                true if size <= SMALL => {
                    note(size);
                    // SAFETY: as above, from `System`.
                    return unsafe { System.realloc(pointer, layout, size) };
                }
                // Nothing so large is looked for there.
                true => {}
            }
        }
        // SAFETY: as the caller promises; both have as many bytes as are copied.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(pointer, layout.size().min(size));
                self.dealloc(pointer, layout);
            }
            moved
        }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        #[cfg(test)]
        note(0);
        match blocks(layout) {
            // SAFETY: as for `realloc`.
            None if is_from_system(pointer, layout.size()) => unsafe {
                System.dealloc(pointer, layout)
            },
            // SAFETY: as for `realloc`.
            None => unsafe { MiMalloc.dealloc(pointer, layout) },
            // SAFETY: the caller promises that it came from `alloc` with this layout, so from these
            // blocks; and a slab from `MiMalloc` with its own.
            Some(blocks) => unsafe {
                blocks.give(pointer, |slab, layout| MiMalloc.dealloc(slab, layout))
            },
        }
    }
}

/// Runs `work`; beside its result, whether it asked for a buffer of [`SUSPICIOUS`] bytes or more.
pub fn watch<T>(work: impl FnOnce() -> T) -> (T, bool) {
    MARK.set(false);
    let result = work();
    (result, MARK.get())
}

/// Runs `work`; beside its result, how often this thread asked for memory or gave some back.
#[cfg(test)]
pub fn count<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = REQUESTS.get();
    let result = work();
    (result, REQUESTS.get() - before)
}

/// Runs `work`; beside its result, how many pages for Luau's heaps this thread took.
#[cfg(test)]
pub fn count_pages<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = PAGES.get();
    let result = work();
    (result, PAGES.get() - before)
}

/// Runs `work`; beside its result, how many bytes this thread asked for, what it gave back included.
#[cfg(test)]
pub fn bytes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = BYTES.get();
    let result = work();
    (result, BYTES.get().wrapping_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_grows_past_the_bound_is_noticed() {
        let mut text = String::new();
        let piece = "x".repeat(400 << 10);
        let mut marked_at = None;
        for _ in 0..100 {
            let ((), marked) = watch(|| text.push_str(&piece));
            if marked {
                marked_at = Some(text.len());
                break;
            }
        }
        let length = marked_at.expect("a buffer of 40 MB was not noticed");
        assert!(length > EVENT_BYTES && length <= SUSPICIOUS + piece.len());
    }

    #[test]
    fn the_largest_event_that_is_allowed_is_not_noticed() {
        for piece in [1000, 8192, 400 << 10] {
            let mut text = String::from("data: ");
            let piece = "x".repeat(piece);
            let ((), marked) = watch(|| {
                while text.len() < EVENT_BYTES {
                    text.push_str(&piece);
                }
            });
            assert!(!marked, "{} bytes at a time", piece.len());
        }
    }

    #[test]
    fn every_way_to_ask_for_memory_is_noticed_and_works() {
        let (buffer, marked) = watch(|| vec![0u8; SUSPICIOUS]);
        assert!(marked && buffer.iter().step_by(4096).all(|&byte| byte == 0));
        let (mut buffer, marked) = watch(|| Vec::<u8>::with_capacity(SUSPICIOUS));
        assert!(marked);
        buffer.extend([1, 2, 3]);
        let ((), marked) = watch(|| buffer.reserve_exact(SUSPICIOUS + 1));
        assert!(marked);
        assert_eq!(buffer, [1, 2, 3]);
        let ((), marked) = watch(|| drop(buffer));
        assert!(!marked);
    }

    /// Runs `work` on a thread whose small requests go to the system's allocator.
    fn on_small_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = std::thread::spawn(|| {
            small_from_system();
            work()
        });
        thread.join().unwrap()
    }

    fn holds(block: &[u8], byte: u8) -> bool {
        block.iter().all(|&one| one == byte)
    }

    #[test]
    fn blocks_keep_what_is_in_them_wherever_they_are_from_and_whoever_frees_them() {
        let sizes = [
            1,
            8,
            100,
            4000,
            SMALL - 1,
            SMALL,
            SMALL + 1,
            pages::LEAST,
            1 << 20,
        ];
        let ours: Vec<_> = sizes.iter().map(|&size| vec![7u8; size]).collect();
        let theirs = on_small_thread(move || {
            // What another thread asked for is freed here.
            assert!(ours.iter().all(|block| holds(block, 7)));
            drop(ours);
            let blocks = sizes.map(|size| vec![8u8; size]);
            let small = |block: &Vec<u8>| is_from_system(block.as_ptr().cast_mut(), block.len());
            for block in &blocks {
                assert_eq!(small(block), block.len() <= SMALL, "{}", block.len());
            }
            blocks
        });
        // And what that thread asked for grows, shrinks and is freed here.
        for mut block in theirs {
            let size = block.len();
            for wanted in [2 * size, size, size.div_ceil(3), SMALL, SMALL + 1, 3] {
                let kept = block.len().min(wanted);
                block.resize(wanted, 8);
                block.shrink_to(wanted);
                assert!(holds(&block[..kept], 8), "{size} to {wanted}");
            }
        }
    }

    #[test]
    fn a_small_threads_blocks_grow_and_shrink_across_the_bound_and_zeroes_are_zeroes() {
        on_small_thread(|| {
            for size in [3, SMALL, SMALL + 1, pages::LEAST] {
                assert!(holds(&vec![0u8; size], 0));
                let mut block = vec![9u8; size];
                for wanted in [SMALL + 5, 17, SMALL, pages::LEAST, SMALL / 2, 2 * SMALL, 1] {
                    block.resize(wanted, 9);
                    block.shrink_to(wanted);
                    assert!(holds(&block, 9), "{size} to {wanted}");
                }
            }
        });
    }

    #[test]
    fn other_threads_are_served_by_mimalloc() {
        let block = String::from("made here");
        assert!(!is_from_system(block.as_ptr().cast_mut(), block.len()));
    }

    #[test]
    fn another_threads_buffers_are_not_ours() {
        let ((), marked) = watch(|| {
            std::thread::spawn(|| drop(vec![0u8; SUSPICIOUS]))
                .join()
                .unwrap();
        });
        assert!(!marked);
    }
}
