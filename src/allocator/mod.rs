//! The process's allocator: mimalloc, with a mark for very large requests (and, in tests, a count of all),
//! and with a place of their own for the pages of Luau's heaps ([`pages`]).
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

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

/// The largest payload that is passed on, bytes.
pub const EVENT_BYTES: usize = 8 << 20;

/// A single allocation that no event of [`EVENT_BYTES`] needs: a growing buffer doubles, so one that
/// holds such an event, its field name and the chunk that came with its end asks for little more than
/// twice its size.
pub const SUSPICIOUS: usize = 2 * EVENT_BYTES + (4 << 20);

/// The largest request that [`coarsen`] rounds up, in bytes.
const COARSE: usize = 8 << 10;

thread_local! {
    static MARK: Cell<bool> = const { Cell::new(false) };
    static COARSENED: Cell<bool> = const { Cell::new(false) };
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

/// From here on this thread's requests have few sizes: powers of two, up to [`COARSE`] bytes. mimalloc has
/// pages for each size that a thread asks for, of which it touches at least one; a thread that asks for
/// little of many sizes, as that of a script does, so needs half as many. What it asks for takes a quarter
/// more on average.
pub fn coarsen() {
    COARSENED.set(true);
}

/// What mimalloc is asked for.
#[inline]
fn coarse(size: usize) -> usize {
    if size <= COARSE && COARSENED.try_with(Cell::get).unwrap_or_default() {
        size.next_power_of_two()
    } else {
        size
    }
}

/// Where memory of this layout is from, if not from mimalloc.
#[inline]
fn blocks(layout: Layout) -> Option<pages::Blocks> {
    if layout.size() < pages::LEAST {
        return None;
    }
    pages::blocks(layout)
}

// SAFETY: where memory is from depends on its layout alone, which is the same when it is taken and when it
// is given back. What is not from `pages` passes to `MiMalloc` unchanged, and so does its answer: its
// guarantees are this allocator's. `pages` promises the same, and `note` neither allocates nor unwinds.
unsafe impl GlobalAlloc for Host {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        match blocks(layout) {
            // SAFETY: the caller's promises about `layout` are the ones that `MiMalloc` needs. It may give
            // more than was asked for: to give it back, the pointer is enough.
            None => unsafe {
                let size = coarse(layout.size());
                MiMalloc.alloc(Layout::from_size_align_unchecked(size, layout.align()))
            },
            // SAFETY: a slab's layout is not empty.
            Some(blocks) => blocks.take(|slab| unsafe { MiMalloc.alloc(slab) }),
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if blocks(layout).is_none() {
            note(layout.size());
            // SAFETY: as for `alloc`.
            return unsafe { MiMalloc.alloc_zeroed(layout) };
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
            note(size);
            // SAFETY: `pointer` came from `MiMalloc`, by `alloc` above, with this layout.
            return unsafe { MiMalloc.realloc(pointer, layout, coarse(size)) };
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
