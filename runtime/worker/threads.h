/* threads.h - how many threads the libraries of a task may start.
 *
 * OpenMP and its like read a number from the environment when they are loaded.
 * A worker is started with its first task's number of CPUs there; one that is
 * used again for another class is told anew, by the environment for what is
 * loaded later and for commands, and by the libraries' own functions where they
 * are loaded.  What the user's environment says stays.
 */
#ifndef COVEY_WORKER_THREADS_H
#define COVEY_WORKER_THREADS_H

#include <stdint.h>

#define THREADS_NAMES(X)                                                      \
    X("OMP_NUM_THREADS", "omp_set_num_threads")                               \
    X("OPENBLAS_NUM_THREADS", "openblas_set_num_threads")                     \
    X("MKL_NUM_THREADS", "MKL_Set_Num_Threads")
enum { THREADS_COUNT = 3 };

/* The worker was started with @threads in those names whose bits are set in
 * @ours; the others are the user's. */
void threads_init(uint32_t threads, uint32_t ours);
/* A task with so many is next (0: no matter).  No user code runs. */
void threads_set(uint32_t threads);

#endif
