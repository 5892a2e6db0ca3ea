/* job.c - see job.h for the contract. */
#include "io/job.h"

#include <stdlib.h>

struct job {
    uv_work_t work;
    void (*fn)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

static void on_work(uv_work_t *work)
{
    struct job *job = work->data;
    job->fn(job->ctx);
}

static void on_done(uv_work_t *work, int status)
{
    (void)status;   /* nobody cancels */
    struct job *job = work->data;
    void (*done)(void *ctx) = job->done;
    void *ctx = job->ctx;
    free(job);
    done(ctx);
}

covey_status job_run(uv_loop_t *loop, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return COVEY_ENOMEM;
    job->fn = work;
    job->done = done;
    job->ctx = ctx;
    job->work.data = job;
    if (uv_queue_work(loop, &job->work, on_work, on_done) != 0) {
        free(job);
        return COVEY_ENOMEM;
    }
    return COVEY_OK;
}
