/* pager.c - see pager.h for the contract. */
#include "node/pager.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/thread.h"
#include "io/wake.h"

struct request {
    uint32_t first_block, blocks;
    bool ok;
};

/* One ring in three parts, by counts that only grow:
 *
 *   fetched ... served      answered, to be fetched
 *   served ... asked        to be served; the first of them runs
 */
struct pager {
    bool (*populate)(void *ctx, uint32_t first_block, uint32_t blocks);
    void *ctx;
    pthread_t thread;
    int wake;                   /* owned */
    uint32_t cap;
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct request *ring;       /* owned */
    uint64_t fetched, served, asked;
    bool closing;
};

static void *run(void *arg)
{
    struct pager *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->served == p->asked && !p->closing)
            pthread_cond_wait(&p->work, &p->lock);
        if (p->closing)
            break;
        struct request *r = &p->ring[p->served % p->cap];
        pthread_mutex_unlock(&p->lock);
        bool ok = p->populate(p->ctx, r->first_block, r->blocks);
        pthread_mutex_lock(&p->lock);
        r->ok = ok;
        p->served++;
        wake_set(p->wake);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

covey_status pager_open(struct pager **out, uint32_t requests_max,
                        bool (*populate)(void *ctx, uint32_t first_block, uint32_t blocks), void *ctx)
{
    assert(requests_max > 0);
    struct pager *p = calloc(1, sizeof *p);
    struct request *ring = calloc(requests_max, sizeof *ring);
    if (!p || !ring) {
        free(p);
        free(ring);
        return COVEY_ENOMEM;
    }
    p->ring = ring;
    p->cap = requests_max;
    p->populate = populate;
    p->ctx = ctx;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    covey_status status = wake_open(&p->wake);
    if (status == COVEY_OK && !thread_start(&p->thread, run, p)) {
        close(p->wake);
        status = COVEY_ESYSTEM;
    }
    if (status != COVEY_OK) {
        pthread_cond_destroy(&p->work);
        pthread_mutex_destroy(&p->lock);
        free(ring);
        free(p);
        return status;
    }
    *out = p;
    return COVEY_OK;
}

void pager_close(struct pager **pager)
{
    struct pager *p = *pager;
    if (!p)
        return;
    *pager = NULL;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    close(p->wake);
    free(p->ring);
    free(p);
}

int pager_fd(const struct pager *pager) { return pager->wake; }

void pager_ask(struct pager *p, uint32_t first_block, uint32_t blocks)
{
    pthread_mutex_lock(&p->lock);
    assert(p->asked - p->fetched < p->cap);
    p->ring[p->asked++ % p->cap] = (struct request){first_block, blocks, false};
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

bool pager_next(struct pager *p, uint32_t *first_block, uint32_t *blocks, bool *ok)
{
    pthread_mutex_lock(&p->lock);
    bool found = p->fetched < p->served;
    if (found) {
        const struct request *r = &p->ring[p->fetched++ % p->cap];
        *first_block = r->first_block;
        *blocks = r->blocks;
        *ok = r->ok;
    } else {
        wake_clear(p->wake);
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}
