/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Commit rounds: group commit without timers. Two rounds take turns: one is in flight, the other
 * collects.
 *
 *   COLLECTING  appends are checked, stamped and copied into the entry buffer        round_admit.c
 *   TAILS       the partial blocks that it will write on are read for the journal    rounds_start
 *   WRITING     journal entry and segment writes are in the air                      tails_read
 *   FLUSHING    the entry and what is DIRECT are written, their fdatasyncs run       round_written
 *               (not in one trip: a round of small batches, or with DIRECT ones of one segment,
 *               is written by durable writes, which need no flush behind them)      entry_written
 *   done        the flush and all segment writes have returned: ends move, requests are answered,
 * the other round starts round_complete
 *
 * An append that must wait (next segment, descriptor, producer state, room in the round or the
 * journal) stays in `waiting`; those behind it pass unless they share a partition with it. A set
 * (one log_append call) goes into one round, whole. Large batches that fill a round do not keep
 * small ones out of it, and while there are small ones they fill less of it: whoever appends 100
 * bytes waits for the round in flight and for their own, however many megabytes are queued.
 *
 * Topics that opted out (durability interval, none) are answered and visible when their segment
 * write has returned; their frames are in the journal all the same and durable with the round.
 * Because a crash may then lose sequences that somebody was told, such answers are given early only
 * below `lazy_bound`, which is in the journal: recovery burns what is between D and it, by name
 * (GAP). An append that makes flush.messages records not yet durable waits as all others do.
 *
 * DIRECT frames: a large batch (round_is_direct) is written once, past the page cache, to its
 * segment; the journal has its place and checksum. Such a frame begins and ends at a block:
 * padding frames (PAD) fill what is left, so it shares no block with another round's bytes. Its
 * stretch is written beside the entry, both are flushed at once, and the round is done when both
 * flushes have returned (round_direct.c).
 *
 * Tails: appending to a segment rewrites the block that its last bytes share with the new ones, and
 * a power cut may leave garbage of the whole block. Bytes below the checkpoint are in no replay, so
 * with the first stretch of a segment behind a checkpoint the journal gets an image of that block,
 * and the stretch is written only when the image is durable (R5). After that the block and what
 * follows it are in the journal, and segment writes run beside it.
 *
 * Invariants
 *
 *   R1 sequences and offsets are given in the order of admission; a partition's frames are
 *      contiguous in its segment
 *
 *   R2 nothing of a round is visible before all of it is durable, but for topics that opted out
 *
 *   R3 one round in flight: the journal's last entry is the only one that can be torn
 *
 *   R4 no append is taken unless its bytes are within the space budget: a full disk is met before
 *      the journal is written
 *
 *   R5 no block with bytes below the checkpoint is written unless the journal has its image,
 * durable, in an entry that recovery cannot drop any more: its DIRECT frames are durable too
 */
#include "log/log.h"

struct segment;

enum round_state { ROUND_COLLECTING, ROUND_TAILS, ROUND_WRITING, ROUND_FLUSHING };
enum { ROUND_FRAMES_MAX = 8192 };
enum { ROUND_TAIL_BLOCK = 4096 };
enum { ROUND_PAD_MAX = ROUND_TAIL_BLOCK + FRAME_HEADER_BYTES }; /* padding is shorter */
#define ROUND_DIRECT_BYTES (256 * KIB)                          /* measured: log/README.md */
/* when the round before was that large, batches of a quarter of it go DIRECT too */
enum { ROUND_DIRECT_BUSY = 4 };
/* what replaying one costs a start, as bytes towards the next checkpoint: 4,096 in 64 MiB */
#define ROUND_DIRECT_REPLAY (16 * KIB)
/* in one round unless one is larger; at most a quarter of a journal file */
#define ROUND_DIRECT_MAX (8 * MIB)
/* Copied and summed in one turn of the loop, unless one set is larger: half a millisecond. The rest
 * waits for the next turn, so that completions and everybody else come in between. */
#define ROUND_TURN_BYTES (3 * MIB)
/* DIRECT bytes of a round while small batches are appended too: they wait for two such rounds */
#define ROUND_DIRECT_SHARED (4 * MIB)
enum { ROUND_SHARED_FOR = 8 }; /* rounds after the last small batch */
#define ROUND_NO_FRAME UINT32_MAX
/* What log_append keeps in internal_[]. */
enum {
	ROUND_REQ_LEFT = 0,     /* requests of the set from this one on */
	ROUND_REQ_ATOMIC = 1,   /* all_or_none */
	ROUND_REQ_ACCEPTED = 2, /* bytes counted against the queue */
	ROUND_REQ_PROMISED = 3, /* its index entry has room */
};

/* One frame of a round. */
struct round_frame {
	struct log_append *req; /* NULL once answered (opted out) */
	uint32_t next;          /* of the same stretch, ROUND_NO_FRAME = last */
	uint32_t at;            /* in the entry buffer; DIRECT: 0 */
	uint32_t len;           /* header and batch */
	uint16_t flags;         /* of the frame; PAD: records 0, sequence of the frame before */
	uint32_t pos;           /* in the segment */
	uint32_t records;
	uint64_t sequence;
	uint64_t frame_hash;
	uint64_t link;
	int64_t base_offset;
	int64_t append_ns;
	int64_t max_timestamp_ms;
	bool append_time; /* the topic stamps it */
	bool control;     /* a marker */
	struct round_stretch *stretch;
};
/* Frames of one segment in a round, contiguous in it, all DIRECT or none. */
struct round_stretch {
	struct list_node node;
	struct round *round;
	struct log_partition *partition; /* referenced */
	struct segment *segment;         /* pinned */
	uint32_t first, last;            /* frames */
	uint32_t from, to;               /* positions in the segment */
	bool lazy;                       /* its topic opted out of waiting */
	bool direct;
	struct list blocks; /* struct tail_block: what a direct one writes */
	bool visible;
	struct io_req io;
	struct iovec
	    *iov; /* not direct: iov_base is an offset into the entry until the round starts */
	int iov_count, iov_capacity;
	int iov_done; /* written so far, IO_IOV_MAX at a time */
	uint32_t tail_at,
	    tail_len; /* image of the block before `from`, in the entry; len 0 = none needed */
	struct iovec tail_iov;
	struct list_node retry;
};
struct round {
	struct rounds *rounds;
	enum round_state state;
	uint8_t *buf; /* the entry, aligned */
	size_t capacity, used;
	struct round_frame *frames; /* ROUND_FRAMES_MAX, allocated with the first */
	uint32_t frame_count;
	size_t direct_bytes;
	uint32_t small;        /* batches that are INLINE */
	uint32_t writes_left;  /* of entry and direct stretches: then all of them are flushed */
	uint32_t flushes_left; /* of segments with direct stretches; in one trip: their writes */
	struct list stretches;
	uint32_t stretch_count;
	uint32_t tails;         /* stretches with an image */
	struct list duplicates; /* struct log_append: answered with this round */
	unsigned airborne;      /* I/O requests out */
	bool entry_durable;
	bool one_trip; /* its writes are durable ones, no flushes follow */
	bool failed;
	bool clean; /* a CLEAN entry */
	uint64_t number;
	uint64_t entry_len;
	uint64_t first_sequence, last_sequence;
	uint64_t producer_ids;
	uint64_t lazy_bound;
	int64_t flush_ns; /* when the flush began, or the durable write */
	int fd;
	uint64_t pos; /* in the journal file */
	struct io_req io;
	struct iovec iov;
};
struct rounds {
	struct log *log;
	struct round round[2];
	unsigned collecting; /* index */
	bool busy;           /* the other one is in flight */
	bool full;           /* something waits for the next round */
	bool direct_full;    /* a DIRECT set does: INLINE ones pass it */
	unsigned shared;     /* rounds for which the DIRECT bytes are kept few */
	uint64_t turn;       /* the last one that something was stamped in */
	size_t turn_bytes;   /* in it */
	struct mail more;    /* goes on in the next turn */
	bool more_posted;
	int64_t not_durable;      /* records of topics that opted out, visible before their round */
	bool lazy_wanted;         /* lazy_bound is to be moved with the next round */
	bool mark_now, clean_now; /* write such an entry although there is no frame */
	struct mail start;        /* deferred to the end of the turn */
	bool start_posted;
	struct list waiting; /* struct log_append, sets adjacent */
	bool scanning;
	bool scan_again;
	uint64_t pass;
	uint64_t next_sequence;
	uint64_t lazy_bound;   /* durable; 0 = none */
	size_t last_bytes;     /* frames of the round started last */
	size_t accepted_bytes; /* not yet answered, against append_queue_bytes */
	size_t round_bytes;    /* of entries with more than one set */
	size_t direct_max;     /* DIRECT bytes of rounds with more than one set */
	struct list free_stretches;
	struct list stock;  /* struct round_stretch: enough for the set being admitted */
	struct list blocks; /* struct tail_block: the same */
	/* space (R4) */
	bool no_space;
	bool space_checking;
	bool space_fresh;    /* nothing was taken since the last look */
	int64_t space_bytes; /* what may still be taken before the next look */
	int64_t space_seen;  /* what the last look gave */
	int64_t space_looked_ns;
	int64_t space_spare; /* of the reserve, for what the server itself writes while clients are
	                        refused */
	struct pool_job space_job;
	uint64_t space_free, space_total;
	enum err space_err;
	struct loop_timer space_timer;
	struct loop_timer mark_timer;
	struct list retry;    /* struct round_stretch: the disk was full */
	struct list finished; /* struct log_append: done is due */
	struct mail finish;
	bool finish_posted;
};
MUST_USE enum err rounds_init(struct rounds *rs, struct log *log);
void rounds_release(struct rounds *rs);
/* Something that kept appends waiting has ended: look again, start a round if there is something
 * for it. */
void rounds_kick(struct rounds *rs);
/* Ends everything in the queue with `err`; what is in a round stays. */
void rounds_abort(struct rounds *rs, enum err err);
/* The log has failed: everything queued or collected ends with ERR_IO; the round in flight when it
 * lands. */
void rounds_fail(struct rounds *rs);
/* True when nothing is queued, collected or in flight. */
bool rounds_idle(const struct rounds *rs);
/* Writes a CLEAN entry. Blocks (turns the loop); nothing may be queued. */
MUST_USE enum err rounds_write_clean(struct rounds *rs);
/* Writes a MARK entry, which restates D under the new epoch. Blocks; start-up. */
MUST_USE enum err rounds_write_mark(struct rounds *rs);
/* At the stop: a round that still waits for room on a full disk is left to recovery (its entry is
 * durable). */
void rounds_give_up(struct rounds *rs);
/* A write or a file's creation met a full disk: refuses appends until a look at the space finds
 * room. */
void rounds_space_lost(struct rounds *rs);

/* ---- between round.c, round_admit.c, round_room.c and round_space.c -------------------------- */
static inline struct round *rounds_collecting(struct rounds *rs)
{
	return &rs->round[rs->collecting];
}
void rounds_start(struct rounds *rs);
/* At the end of this turn, so that everything appended in it shares a round. */
void rounds_start_later(struct rounds *rs);
/* Back to the free list: unpins its segment. */
void rounds_stretch_free(struct rounds *rs, struct round_stretch *st);
/* Room for `more` frames in it. NOMEM. */
MUST_USE enum err rounds_stretch_reserve(struct round_stretch *st, int more);
/* Puts a stretch with room for `frames` into the stock; what is left there goes back. */
MUST_USE enum err rounds_stock_add(struct rounds *rs, int frames);
void rounds_stock_return(struct rounds *rs);
/* p's last stretch in the collecting round; NULL. */
struct round_stretch *rounds_stretch_current(struct rounds *rs, struct log_partition *p);
/* Where p's next frame goes, which may be a stretch of the stock. */
struct round_stretch *rounds_stretch_for(struct rounds *rs, struct log_partition *p, bool direct);
/* Lets in what waits and can go. */
void rounds_scan(struct rounds *rs);
/* Answers `req` later in this turn. */
void rounds_answer(struct rounds *rs, struct log_append *req, enum err err);
/*
 * Takes `len` from the budget; `internal` may go on into half of the reserve, so that deleting a
 * topic works on a full disk. ERR_AGAIN: a look is under way that kicks; ERR_NOSPACE.
 */
MUST_USE enum err rounds_space_take(struct rounds *rs, size_t len, bool internal);
/*
 * The same for a cache of at most `len` bytes, which can be left out: ERR_NOSPACE refuses nobody
 * anything. ERR_AGAIN as above.
 */
MUST_USE enum err rounds_space_cache(struct rounds *rs, size_t len);
/* The longest its COPY can be, which has the DIRECT frames too; 0 when it has none. */
size_t round_copy_bytes(const struct round *r);
/* The longest its entry can be with so much more. */
size_t round_entry_bytes(const struct round *r, size_t more_bytes, size_t more_frames);
MUST_USE enum err round_reserve(struct round *r, size_t need);
/* Something else was written: the next look comes earlier. */
void rounds_space_charge(struct rounds *rs, size_t len);
/* What clients' appends leave free of a file system: 1/16 of it, 64 MiB at most. */
uint64_t round_space_reserve(uint64_t total);
void round_space_init(struct rounds *rs);
/* The first look, blocking: start-up. */
void round_space_first(struct rounds *rs);
void round_submit_stretch(struct round_stretch *st);
/* The entry or a direct stretch is written. */
void round_written(struct round *r);
/* Writes the stretches that wait for R5, as soon as the round can no longer be dropped. */
void round_write_tails(struct round *r);
/* One of a round's requests has returned. */
void round_landed(struct round *r);
/* All of a lazy topic's stretch is written: visible and answered. */
void round_written_lazy(struct round_stretch *st);

/* ---- round_direct.c -------------------------------------------------------------------------- */
/* Does it go DIRECT? Large batches do, when rounds are large smaller ones too; control batches
 * never. */
bool round_is_direct(const struct log_append *req);
/* What the padding behind `len` bytes of a segment takes, up to a block; 0 = it ends at one. */
uint32_t round_pad_bytes(uint32_t len);
/* What such a batch takes in its segment at most, padding included. */
size_t round_direct_bytes(size_t batch_len);
/* Puts a block for the batch into rs->blocks. ERR_NOMEM. */
MUST_USE enum err round_block_reserve(struct rounds *rs, size_t batch_len);
/* Those that were reserved and not used. */
void round_blocks_return(struct rounds *rs);
/* The first reserved block that is large enough moves to the stretch. */
struct tail_block *round_block_use(struct rounds *rs, struct round_stretch *st, size_t batch_len);
/* Flushes each segment that has direct stretches of the round, once. */
void round_direct_flush(struct round *r);
/* Its blocks go to the tail cache when the round came through. */
void round_direct_end(struct round_stretch *st, bool keep);
