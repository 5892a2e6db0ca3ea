/* page.c - see page.h for the contract. */
#include "io/page.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "io/mono.h"

#define PAGE_BYTES 4096u
#define LOOKS_MAX 200           /* at an odd turn: its writer may be off its CPU ... */
#define LOOKS_QUICK 100         /* ... and after so many looks probably is */
#define LOOK_NS (100 * 1000)
#define QUIET_ROUNDS 16         /* of measuring, once in a process: some microseconds */

struct stream {
    _Atomic uint32_t turn;      /* odd: a read is under way */
    _Atomic uint64_t taken;
};

struct page {
    _Alignas(64) struct stream streams[PAGE_STREAMS];   /* the node's */
    /* the worker's */
    _Alignas(64) _Atomic uint32_t turn;                 /* odd: the task changes */
    _Atomic uint32_t node, proc, inc, actor, attempt;
    _Atomic uint64_t seq, out_begin, err_begin;
};
_Static_assert(sizeof(struct page) <= PAGE_BYTES, "one page");

static uint64_t look(const _Atomic uint64_t *at) { return atomic_load_explicit(at, memory_order_relaxed); }
static uint32_t look32(const _Atomic uint32_t *at) { return atomic_load_explicit(at, memory_order_relaxed); }
static void put(_Atomic uint64_t *at, uint64_t x) { atomic_store_explicit(at, x, memory_order_relaxed); }
static void put32(_Atomic uint32_t *at, uint32_t x) { atomic_store_explicit(at, x, memory_order_relaxed); }

/* A turn has one writer, so its steps need not be atomic additions. */
static void turn_begin(_Atomic uint32_t *turn)
{
    put32(turn, look32(turn) | 1);
    atomic_thread_fence(memory_order_release);
}

static void turn_end(_Atomic uint32_t *turn)
{
    atomic_store_explicit(turn, look32(turn) + 1, memory_order_release);
}

static void wait_for_turn(int looks)
{
    if (looks < LOOKS_QUICK)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
}

static bool is_same_turn(const _Atomic uint32_t *turn, uint32_t was)
{
    atomic_thread_fence(memory_order_acquire);
    return look32(turn) == was;
}

/* ---- the node's side -------------------------------------------------------------- */

covey_status page_new(struct page **out, int *fd)
{
    *fd = memfd_create("covey-worker", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0)
        return COVEY_ESYSTEM;
    void *at = MAP_FAILED;
    if (ftruncate(*fd, PAGE_BYTES) == 0)
        at = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (at == MAP_FAILED) {
        close(*fd);
        *fd = -1;
        return COVEY_ESYSTEM;
    }
    /* A worker that made it smaller would kill the node by a look at it. */
    (void)fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    *out = at;
    return COVEY_OK;
}

void page_free(struct page **page)
{
    if (*page)
        munmap(*page, PAGE_BYTES);
    *page = NULL;
}

void page_read_begin(struct page *page, bool is_error)
{
    turn_begin(&page->streams[is_error].turn);
}

void page_read_end(struct page *page, bool is_error, uint64_t taken)
{
    put(&page->streams[is_error].taken, taken);
    turn_end(&page->streams[is_error].turn);
}

bool page_running(const struct page *page, struct page_task *out)
{
    for (int i = 0; i < LOOKS_MAX; i++) {
        uint32_t turn = atomic_load_explicit(&page->turn, memory_order_acquire);
        *out = (struct page_task){
            .owner = {look32(&page->node), look32(&page->proc), look32(&page->inc), look32(&page->actor)},
            .seq = look(&page->seq), .attempt = look32(&page->attempt),
            .out_begin = look(&page->out_begin), .err_begin = look(&page->err_begin)};
        if (turn % 2 == 0 && is_same_turn(&page->turn, turn))
            return out->seq != 0;
    }
    return false;
}

/* ---- the worker's side -------------------------------------------------------------- */

/* To write into a pipe takes longer than to ask how much is in it; half of the shortest
 * of many answers leaves room for a clock that speeds up. */
static int64_t measure_quiet(const struct page_user *user)
{
    int64_t shortest = INT64_MAX;
    for (int i = 0; i < QUIET_ROUNDS; i++) {
        int waiting;
        int64_t begin = mono_ns();
        if (ioctl(user->streams[i % PAGE_STREAMS], FIONREAD, &waiting) != 0)
            return 0;
        int64_t took = mono_ns() - begin;
        shortest = took < shortest ? took : shortest;
    }
    return shortest / 2;
}

void page_user_open(struct page_user *user, int fd)
{
    *user = (struct page_user){.streams = {-1, -1}};
    void *at = fd >= 0 ? mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    if (at == MAP_FAILED)
        return;
    user->page = at;
    for (int i = 0; i < PAGE_STREAMS; i++)
        user->streams[i] = fcntl(STDOUT_FILENO + i, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    user->quiet_ns = measure_quiet(user);
    page_count(user);
}

/* What is in the pipe belongs to the count of reads that was true at the same
 * time.  Where the node does not come to the end of a read for long, or the
 * descriptor is gone, the count stays what it was, and this output is the next
 * task's. */
static void count_stream(const struct stream *s, int fd, uint64_t *printed)
{
    for (int i = 0; i < LOOKS_MAX; i++) {
        int waiting = 0;
        uint32_t turn = atomic_load_explicit(&s->turn, memory_order_acquire);
        uint64_t taken = look(&s->taken);
        if (turn % 2 != 0) {
            wait_for_turn(i);
            continue;
        }
        if (ioctl(fd, FIONREAD, &waiting) != 0 || waiting < 0)
            return;
        if (is_same_turn(&s->turn, turn)) {
            uint64_t sum = taken + (uint64_t)waiting;
            *printed = sum > *printed ? sum : *printed;
            return;
        }
    }
}

void page_count(struct page_user *user)
{
    for (int i = 0; user->page && i < PAGE_STREAMS; i++)
        if (user->streams[i] >= 0)
            count_stream(&user->page->streams[i], user->streams[i], &user->printed[i]);
}

void page_run(struct page_user *user, struct addr owner, uint64_t seq, uint32_t attempt)
{
    struct page *p = user->page;
    if (!p)
        return;
    turn_begin(&p->turn);
    put32(&p->node, owner.node);
    put32(&p->proc, owner.proc);
    put32(&p->inc, owner.inc);
    put32(&p->actor, owner.actor);
    put32(&p->attempt, attempt);
    put(&p->seq, seq);
    put(&p->out_begin, user->printed[0]);
    put(&p->err_begin, user->printed[1]);
    turn_end(&p->turn);
}
