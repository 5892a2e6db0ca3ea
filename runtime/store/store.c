/* store.c - see store.h for the contract.
 *
 * A lent extent:
 *
 *                      put to use            full, or a large object's     last seal
 *   granted -> SPARE ------------> OPEN ------------------------> RETIRED ----------> CLOSING
 *                |                                                                      |
 *                +----------------------- not needed ------------------------------->  told
 *
 * It is found by number (s->at) until its close has been told, so frees that
 * come until then travel with the close.
 */
#include "store/store.h"

#include "core/list.h"
#include "store/frees.h"
#include "store/wants.h"
#include "store/window.h"

#include <stdatomic.h>
#include <stdlib.h>

#define WARM_GRANT_BYTES_MAX (4u * 1024 * 1024) /* at once under the lock: about 1 ms */

enum lent_state { LENT_SPARE, LENT_OPEN, LENT_RETIRED, LENT_CLOSING };

struct lent {
    struct list in_list;        /* spares, or closing */
    enum lent_state state;
    bool large;
    bool asked_ahead;           /* for its successor; once, lest refusals repeat */
    uint32_t extent;
    uint64_t gen, offset, bytes;
    uint64_t used;
    uint32_t count;             /* objects so far */
    uint32_t unsealed;
    uint8_t freed[];            /* a bit an object */
};

struct store {
    uint32_t node, blocks;
    uint64_t usable_bytes;      /* the arena without its table */
    struct window window;
    const _Atomic uint64_t *table;  /* generations */

    struct lent **at;           /* owned, as what it points to; by extent */
    struct lent *open, *spare;
    struct list large;          /* spares for large objects */
    uint32_t large_count;
    struct list closing;
    struct lent *told;          /* owned; until the next store_next_close() */
    struct wants wants;
    struct frees frees;
};

static uint64_t round_blocks(uint64_t bytes)
{
    return (bytes + ARENA_BLOCK - 1) / ARENA_BLOCK * ARENA_BLOCK;
}

/* ---- opening and closing ----------------------------------------------------- */

covey_status store_open(struct store **out, int ro_fd, int rw_fd, uint64_t arena_bytes, uint32_t node)
{
    uint64_t blocks = arena_bytes / ARENA_BLOCK;
    uint64_t table = round_blocks(blocks * sizeof(uint64_t)) / ARENA_BLOCK;
    if (blocks <= table || blocks > UINT32_MAX / 2)
        return COVEY_EINVAL;
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return COVEY_ENOMEM;
    s->node = node;
    s->blocks = (uint32_t)blocks;
    s->usable_bytes = (blocks - table) * ARENA_BLOCK;
    list_init(&s->large);
    list_init(&s->closing);
    s->at = calloc(blocks, sizeof(*s->at));
    covey_status status = s->at && frees_init(&s->frees, s->blocks) ? COVEY_OK : COVEY_ENOMEM;
    if (status == COVEY_OK)
        status = window_open(&s->window, ro_fd, rw_fd, arena_bytes);
    if (status != COVEY_OK) {
        frees_fini(&s->frees);
        free(s->at);
        free(s);
        return status;
    }
    s->table = (const _Atomic uint64_t *)(const void *)s->window.read;
    *out = s;
    return COVEY_OK;
}

void store_close(struct store **store)
{
    struct store *s = *store;
    if (!s)
        return;
    for (uint32_t i = 0; i < s->blocks; i++)
        free(s->at[i]);
    free(s->told);
    free(s->at);
    wants_fini(&s->wants);
    frees_fini(&s->frees);
    window_close(&s->window);
    free(s);
    *store = NULL;
}

uint64_t store_bytes(const struct store *s)
{
    return s->usable_bytes;
}

/* ---- lent extents ------------------------------------------------------------ */

static struct lent *lent_new(bool large)
{
    struct lent *l = calloc(1, sizeof(*l) + (large ? 1 : EXTENT_OBJECTS_MAX / 8));
    if (!l)
        return NULL;
    l->large = large;
    list_init(&l->in_list);
    return l;
}

static struct lent *lent_find(const struct store *s, uint32_t extent, uint64_t gen)
{
    struct lent *l = extent < s->blocks ? s->at[extent] : NULL;
    return l && l->gen == gen ? l : NULL;
}

static void close_if_done(struct store *s, struct lent *l)
{
    if (l->state != LENT_RETIRED || l->unsealed)
        return;
    l->state = LENT_CLOSING;
    list_push(&s->closing, &l->in_list);
}

/* Nothing more is put into it. */
static void retire(struct store *s, struct lent *l)
{
    assert(l->state == LENT_SPARE || l->state == LENT_OPEN);
    l->state = LENT_RETIRED;
    close_if_done(s, l);
}

static void large_remove(struct store *s, struct lent *l)
{
    list_del(&l->in_list);
    s->large_count--;
}

/* ---- asking ------------------------------------------------------------------- */

/* Note that @bytes are wanted; COVEY_EAGAIN, or COVEY_ENOMEM. */
static covey_status want_new(struct want *want, bool large, uint64_t bytes, bool needed)
{
    assert(want->state == WANT_NONE);
    want->lent = lent_new(large);
    if (!want->lent)
        return COVEY_ENOMEM;
    want->state = WANT_NEW;
    want->bytes = bytes;
    want->needed = needed;
    return COVEY_EAGAIN;
}

static uint64_t shared_bytes(const struct store *s)
{
    return EXTENT_BYTES < s->usable_bytes ? EXTENT_BYTES : s->usable_bytes;
}

/* There is no room for @stride bytes. */
static covey_status ask(struct store *s, bool large, uint64_t stride)
{
    uint64_t bytes_min = round_blocks(stride);
    uint64_t bytes = large ? bytes_min : shared_bytes(s);
    struct want *want = large ? wants_find(&s->wants, bytes) : &s->wants.want[0];
    if (!want)
        want = wants_unused(&s->wants);
    if (!want) /* as many sizes as can be: one of those answers is worth a try */
        return COVEY_EAGAIN;
    if (want->state == WANT_REFUSED) {
        want->state = WANT_SEEN;
        return COVEY_EAGAIN;
    }
    if (want->state == WANT_SEEN)
        want_clear(want);
    if (want->state == WANT_NONE && want_new(want, large, bytes, true) != COVEY_EAGAIN)
        return COVEY_ENOMEM;
    want->needed = true;
    want->bytes_min = bytes_min > want->bytes_min ? bytes_min : want->bytes_min;
    return COVEY_EAGAIN;
}

/* A spare, before the open extent is full.  Without memory there is none. */
static void ask_ahead(struct store *s, struct lent *open)
{
    if (open->asked_ahead || open->used <= open->bytes / 4 * 3)
        return;
    open->asked_ahead = true;
    struct want *want = &s->wants.want[0];
    if (!s->spare && want->state == WANT_NONE)
        want_new(want, false, shared_bytes(s), false);
}

bool store_want(struct store *s, struct msg_extent_want *out)
{
    return wants_next(&s->wants, out);
}

static void refuse(struct store *s, struct want *want, const struct msg_extent_refused *refused)
{
    uint64_t largest = refused->largest_bytes / ARENA_BLOCK * ARENA_BLOCK;
    bool shared = want == &s->wants.want[0];
    if (!want->needed) {
        want_clear(want);
    } else if (shared && largest >= want->bytes_min && largest < want->bytes) {
        want->bytes = largest;
        want->state = WANT_NEW;
    } else {
        want->state = WANT_REFUSED;
        want->why = *refused;
        want->why.why = (struct span){NULL, 0}; /* borrowed from the message */
        free(want->lent);
        want->lent = NULL;
    }
}

void store_refused(struct store *s, const struct msg_extent_refused *refused)
{
    struct want *want = wants_asked(&s->wants, refused->request);
    if (want)
        refuse(s, want, refused);
}

static bool grant_is_sane(const struct store *s, const struct msg_extent_grant *g)
{
    uint64_t end = (uint64_t)s->blocks * ARENA_BLOCK;
    return g->gen != 0 && g->offset == (uint64_t)g->extent * ARENA_BLOCK && g->bytes != 0 &&
           g->bytes % ARENA_BLOCK == 0 && g->offset < end && g->bytes <= end - g->offset;
}

static void keep_large(struct store *s, struct lent *l)
{
    if (s->large_count == STORE_WANTS_MAX) {
        struct lent *oldest = list_entry(s->large.next, struct lent, in_list);
        large_remove(s, oldest);
        retire(s, oldest);
    }
    list_push(&s->large, &l->in_list);
    s->large_count++;
}

static void keep_shared(struct store *s, struct lent *l)
{
    if (s->spare) /* too small for what this one was asked for */
        retire(s, s->spare);
    s->spare = l;
}

/* A second copy of a grant finds its extent held, or closed already, and then
 * the close that this sends means nothing to the node. */
void store_granted(struct store *s, const struct msg_extent_grant *grant)
{
    if (!s->window.write || !grant_is_sane(s, grant) || s->at[grant->extent])
        return;
    struct want *want = wants_asked(&s->wants, grant->request);
    struct lent *l = want ? want->lent : lent_new(true);
    if (!l)
        return;
    l->extent = grant->extent;
    l->gen = grant->gen;
    l->offset = grant->offset;
    l->bytes = grant->bytes;
    s->at[l->extent] = l;
    bool usable = want && grant->bytes >= want->bytes_min;
    if (usable && !window_lend(&s->window, l->offset, l->bytes)) {
        want->lent = NULL;
        refuse(s, want, &(struct msg_extent_refused){.request = want->request, .status = COVEY_ENOMEM});
        usable = false;
    } else if (want) {
        want->lent = NULL;
        want_clear(want);
    }
    if (!usable) {
        retire(s, l);
        return;
    }
    uint64_t warm = l->bytes < WARM_GRANT_BYTES_MAX ? l->bytes : WARM_GRANT_BYTES_MAX;
    window_warm(&s->window, l->offset, warm);
    if (l->large)
        keep_large(s, l);
    else
        keep_shared(s, l);
}

static bool is_large(uint64_t size)
{
    return size > OBJECT_SHARED_MAX;
}

static bool is_possible(const struct store *s, uint64_t size)
{
    return size <= s->usable_bytes - OBJECT_ALIGN;
}

static struct want *want_of_size(struct store *s, uint64_t size)
{
    if (!is_possible(s, size))
        return NULL;
    return is_large(size) ? wants_find(&s->wants, round_blocks(object_stride(size)))
                          : &s->wants.want[0];
}

covey_status store_refusal(struct store *s, uint64_t size, struct msg_extent_refused *out)
{
    struct want *want = want_of_size(s, size);
    if (!want || (want->state != WANT_REFUSED && want->state != WANT_SEEN))
        return COVEY_OK;
    *out = want->why;
    want_clear(want);
    return (covey_status)out->status;
}

/* An extent can serve larger requests than it was granted for, but a large one
 * is not wasted on an object of less than half its size. */
static struct lent *large_find(struct store *s, uint64_t bytes)
{
    struct lent *best = NULL;
    list_each(it, &s->large) {
        struct lent *l = list_entry(it, struct lent, in_list);
        if (l->bytes >= bytes && l->bytes / 2 <= bytes && (!best || l->bytes < best->bytes))
            best = l;
    }
    return best;
}

void store_unwant(struct store *s, uint64_t size)
{
    struct want *want = want_of_size(s, size);
    if (want && is_large(size))
        want_clear(want); /* a grant that comes now is not known, and goes back */
    else if (want && (want->state == WANT_REFUSED || want->state == WANT_SEEN))
        want_clear(want);
    else if (want)
        want->needed = false;
    if (!want && is_possible(s, size) && is_large(size)) {
        struct lent *l = large_find(s, round_blocks(object_stride(size)));
        if (l) {
            large_remove(s, l);
            retire(s, l);
        }
    }
}

/* ---- writing ------------------------------------------------------------------- */

/* A shared extent with room, moving on to the spare when the open one is full. */
static struct lent *shared_room(struct store *s, uint64_t stride)
{
    if (s->open && s->open->bytes - s->open->used >= stride)
        return s->open;
    if (!s->spare || s->spare->bytes < stride)
        return NULL;
    if (s->open)
        retire(s, s->open);
    s->open = s->spare;
    s->open->state = LENT_OPEN;
    s->spare = NULL;
    return s->open;
}

static struct lent *large_room(struct store *s, uint64_t stride)
{
    struct lent *l = large_find(s, round_blocks(stride));
    if (l)
        large_remove(s, l);
    return l;
}

static struct object_header *header_at(const struct store *s, uint64_t offset)
{
    return (struct object_header *)(void *)(s->window.write + offset);
}

/* OPEN is stored last: whoever reads this after our death steps over it. */
static void write_header(struct object_header *h, struct oid id, const struct place *place)
{
    h->gen = place->gen;
    h->size = place->size;
    h->seq = id.seq;
    h->node = id.node;
    h->proc = id.proc;
    h->index = id.index;
    h->ordinal = place->ordinal;
    h->kind = place->kind;
    atomic_store_explicit(&h->state, OBJECT_OPEN ^ place->gen, memory_order_release);
}

covey_status store_alloc(struct store *s, struct oid id, covey_kind kind, uint64_t size,
                         struct place *place, void **data)
{
    assert(s->window.write);
    if (!is_possible(s, size))
        return COVEY_ETOOBIG;
    uint64_t stride = object_stride(size);
    bool large = is_large(size);
    struct lent *l = large ? large_room(s, stride) : shared_room(s, stride);
    if (!l)
        return ask(s, large, stride);
    *place = (struct place){
        .node = s->node, .extent = l->extent, .gen = l->gen, .offset = l->offset + l->used,
        .size = size, .ordinal = l->count, .kind = kind,
    };
    struct object_header *h = header_at(s, place->offset);
    write_header(h, id, place);
    *data = h + 1;
    l->used += stride;
    l->count++;
    l->unsealed++;
    if (large)
        retire(s, l);
    else
        ask_ahead(s, l);
    return COVEY_OK;
}

void store_warm(struct store *s, const struct place *place)
{
    assert(place->node == s->node);
    window_warm(&s->window, place->offset, OBJECT_ALIGN + place->size);
}

static void publish(struct store *s, struct lent *l, struct object_header *h)
{
    assert(atomic_load_explicit(&h->state, memory_order_relaxed) == (OBJECT_OPEN ^ l->gen));
    atomic_store_explicit(&h->state, OBJECT_SEALED ^ l->gen, memory_order_release);
    assert(l->unsealed > 0);
    l->unsealed--;
    close_if_done(s, l);
}

void store_seal(struct store *s, const struct place *place)
{
    struct lent *l = lent_find(s, place->extent, place->gen);
    assert(l);
    publish(s, l, header_at(s, place->offset));
}

static void set_freed(struct lent *l, uint32_t ordinal)
{
    if (ordinal < l->count)
        l->freed[ordinal / 8] |= (uint8_t)(1u << (ordinal % 8));
}

void store_abandon(struct store *s, const struct place *place)
{
    struct lent *l = lent_find(s, place->extent, place->gen);
    assert(l);
    struct object_header *h = header_at(s, place->offset);
    h->seq = 0; /* no object's id: nobody can read it or ask for it */
    set_freed(l, place->ordinal);
    publish(s, l, h);
}

/* ---- reading -------------------------------------------------------------------- */

/* Only generations say what exists: the first and the last block have that of
 * the extent, so all between belong to it and have pages. */
static bool is_in_extent(const struct store *s, const struct place *p)
{
    uint64_t bytes = (uint64_t)s->blocks * ARENA_BLOCK;
    if (p->node != s->node || p->gen == 0 || p->extent >= s->blocks)
        return false;
    if (p->offset % OBJECT_ALIGN || p->offset / ARENA_BLOCK < p->extent)
        return false;
    if (p->offset > bytes - OBJECT_ALIGN || p->size > bytes - OBJECT_ALIGN - p->offset)
        return false;
    uint64_t last = (p->offset + OBJECT_ALIGN + p->size - 1) / ARENA_BLOCK;
    return atomic_load_explicit(&s->table[p->extent], memory_order_acquire) == p->gen &&
           atomic_load_explicit(&s->table[last], memory_order_acquire) == p->gen;
}

covey_status store_read(struct store *s, struct oid id, const struct place *place, const void **data)
{
    if (!is_in_extent(s, place))
        return COVEY_ESTALE;
    const struct object_header *h = (const void *)(s->window.read + place->offset);
    if (atomic_load_explicit(&h->state, memory_order_acquire) != (OBJECT_SEALED ^ place->gen))
        return COVEY_ESTALE;
    if (h->size != place->size || h->ordinal != place->ordinal || h->seq == 0)
        return COVEY_ESTALE;
    if (!oid_eq(id, (struct oid){.node = h->node, .proc = h->proc, .seq = h->seq, .index = h->index}))
        return COVEY_ESTALE;
    *data = h + 1;
    return COVEY_OK;
}

/* ---- giving back ------------------------------------------------------------------ */

void store_free(struct store *s, const struct place *place)
{
    if (place->node != s->node)
        return;
    struct lent *l = lent_find(s, place->extent, place->gen);
    if (l)
        set_freed(l, place->ordinal);
    else
        frees_add(&s->frees, place->extent, place->gen, place->ordinal);
}

bool store_next_close(struct store *s, struct msg_extent_close *out)
{
    free(s->told);
    s->told = NULL;
    if (list_empty(&s->closing))
        return false;
    struct lent *l = list_entry(s->closing.next, struct lent, in_list);
    list_del(&l->in_list);
    s->at[l->extent] = NULL;
    s->told = l;
    *out = (struct msg_extent_close){
        .extent = l->extent, .gen = l->gen, .sealed = l->count,
        .freed = span_of(l->freed, (l->count + 7) / 8),
    };
    return true;
}

bool store_next_free(struct store *s, struct msg_object_free *out)
{
    return frees_next(&s->frees, out);
}

void store_close_extents(struct store *s)
{
    if (s->open)
        retire(s, s->open);
    if (s->spare)
        retire(s, s->spare);
    s->open = s->spare = NULL;
    list_each(it, &s->large) {
        struct lent *l = list_entry(it, struct lent, in_list);
        large_remove(s, l);
        retire(s, l);
    }
}
