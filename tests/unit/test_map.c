/* test_map.c - core/map against a model that cannot be wrong.
 *
 * Links with the flags that failing_malloc.h names.  COVEY_TEST_SEED runs one
 * seed instead of all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/map.h"
#include "failing_malloc.h"

#define KEYS 400
#define SEEDS 60
#define OPS 6000

/* Key k was inserted as the order[k]-th, 0: it is not there. */
struct model {
    uint64_t order[KEYS];
    uintptr_t value[KEYS];
    uint64_t clock;
    uint32_t count;
};

struct world {
    struct map map;
    struct model model;
    uint64_t random;
};

static uint32_t random_below(struct world *w, uint32_t bound)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 32) % bound;
}

/* Keys that differ in few bits, at both ends. */
static const uint8_t *key_bytes(uint32_t k, uint32_t key_len)
{
    static uint8_t key[MAP_KEY_MAX];
    memset(key, 0, sizeof key);
    memcpy(key, &k, 2);
    if (key_len >= 8)
        memcpy(key + key_len - 4, &(uint32_t){k % 7}, 4);
    return key;
}

static void check_lookup(struct world *w, uint32_t k)
{
    void *expected = w->model.order[k] ? (void *)w->model.value[k] : NULL;
    assert_ptr_equal(map_get(&w->map, key_bytes(k, w->map.key_len)), expected);
}

static void op_put(struct world *w, uint32_t k)
{
    struct model *m = &w->model;
    m->clock++;
    assert_true(map_put(&w->map, key_bytes(k, w->map.key_len), (void *)(m->clock << 16 | k)));
    m->value[k] = m->clock << 16 | k;
    if (m->order[k] == 0) {
        m->order[k] = m->clock;
        m->count++;
    }
}

static void model_del(struct model *m, uint32_t k)
{
    if (m->order[k])
        m->count--;
    m->order[k] = 0;
}

static void op_del(struct world *w, uint32_t k)
{
    void *expected = w->model.order[k] ? (void *)w->model.value[k] : NULL;
    assert_ptr_equal(map_del(&w->map, key_bytes(k, w->map.key_len)), expected);
    model_del(&w->model, k);
}

/* Everything once, in the order of insertion; about one in @del_one_in is
 * deleted on the way. */
static void op_walk(struct world *w, uint32_t del_one_in)
{
    uint64_t last = 0;
    uint32_t seen = 0, count = w->model.count;
    void *value;
    for (uint32_t i = 0; (value = map_next(&w->map, &i)) != NULL; seen++) {
        uint32_t k = (uint32_t)((uintptr_t)value & 0xffff);
        assert_true(k < KEYS);
        assert_int_equal((uintptr_t)value, w->model.value[k]);
        assert_true(w->model.order[k] > last);
        last = w->model.order[k];
        if (del_one_in && random_below(w, del_one_in) == 0)
            op_del(w, k);
    }
    assert_int_equal(seen, count);
}

static void check_all(struct world *w)
{
    assert_int_equal(map_count(&w->map), w->model.count);
    for (uint32_t k = 0; k < KEYS; k++)
        check_lookup(w, k);
    op_walk(w, 0);
}

static void run_seed(uint64_t seed, uint32_t key_len)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    map_init(&w->map, key_len);
    uint32_t bias = 50;
    for (int op = 0; op < OPS; op++) {
        if (op % 500 == 0)
            bias = 10 + random_below(w, 80); /* phases that grow and phases that shrink */
        uint32_t k = random_below(w, KEYS), what = random_below(w, 100);
        if (random_below(w, 600) == 0)
            op_walk(w, 1 + random_below(w, 3));
        else if (what < bias)
            op_put(w, k);
        else
            op_del(w, k);
        check_lookup(w, random_below(w, KEYS));
        if (op % 997 == 0)
            check_all(w);
    }
    check_all(w);
    map_fini(&w->map);
    free(w);
}

static uint64_t seed_now;

static void map_agrees_with_the_model(void **state)
{
    static const uint32_t lens[] = {2, 8, 13, 16, 20, 24};
    const char *one = getenv("COVEY_TEST_SEED");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1, last = one ? first : SEEDS;
    (void)state;
    for (seed_now = first; seed_now <= last; seed_now++)
        run_seed(seed_now, lens[seed_now % (sizeof lens / sizeof *lens)]);
    seed_now = 0;
}

static int name_seed(void **state)
{
    (void)state;
    if (seed_now)
        printf("failed with COVEY_TEST_SEED=%llu\n", (unsigned long long)seed_now);
    return 0;
}

static void map_is_empty_at_first(void **state)
{
    struct map map;
    struct key_addr key = {1, 2, 3, 4};
    uint32_t i = 0;
    (void)state;
    map_init(&map, sizeof key);
    assert_null(map_get(&map, &key));
    assert_null(map_del(&map, &key));
    assert_null(map_next(&map, &i));
    assert_int_equal(map_count(&map), 0);
    map_fini(&map);
    map_fini(&map);
}

static void map_tells_oids_apart(void **state)
{
    struct map map;
    int a, b;
    struct key_oid x = key_of_oid((struct oid){1, 2, UINT64_C(1) << 32, 0});
    struct key_oid y = key_of_oid((struct oid){1, 2, 1, 0});
    (void)state;
    map_init(&map, sizeof x);
    assert_true(map_put(&map, &x, &a));
    assert_true(map_put(&map, &y, &b));
    assert_ptr_equal(map_get(&map, &x), &a);
    assert_ptr_equal(map_get(&map, &y), &b);
    map_fini(&map);
}

/* A queue of keys passes through: the table must not grow with what is gone. */
static void map_stays_small_under_churn(void **state)
{
    struct map map;
    (void)state;
    map_init(&map, sizeof(uint64_t));
    for (uint64_t n = 0; n < 200000; n++) {
        assert_true(map_put(&map, &n, &map));
        if (n >= 20) {
            uint64_t old = n - 20;
            assert_ptr_equal(map_del(&map, &old), &map);
        }
    }
    assert_int_equal(map_count(&map), 20);
    assert_true(map.cap <= 64);
    map_fini(&map);
}

static void map_gives_memory_back(void **state)
{
    struct map map;
    (void)state;
    map_init(&map, sizeof(uint64_t));
    for (uint64_t n = 0; n < 100000; n++)
        assert_true(map_put(&map, &n, &map));
    for (uint64_t n = 0; n < 100000; n++)
        assert_ptr_equal(map_del(&map, &n), &map);
    uint32_t peak = map.cap;
    for (uint64_t n = 0; n < 1000000; n++) {
        assert_true(map_put(&map, &n, &map));
        if (n > 0)
            assert_ptr_equal(map_del(&map, &(uint64_t){n - 1}), &map);
    }
    assert_true(map.cap < peak / 64);
    map_fini(&map);
}

/* Put 100 keys and delete some, while the n-th allocation fails: a refused put
 * changes nothing and the next one works. */
static bool run_with_failure(uint64_t n)
{
    struct map map;
    uint32_t refused = 0;
    map_init(&map, sizeof(uint32_t));
    malloc_fail(n, 1);
    for (uint32_t k = 0; k < 100; k++) {
        uint32_t before = map_count(&map);
        if (!map_put(&map, &k, &map)) {
            refused++;
            assert_int_equal(map_count(&map), before);
            assert_null(map_get(&map, &k));
            assert_true(map_put(&map, &k, &map));
        }
        if (k % 3 == 2)
            assert_ptr_equal(map_del(&map, &(uint32_t){k - 1}), &map);
    }
    bool reached = malloc_calls >= n;
    malloc_fail(0, 0);
    for (uint32_t k = 0; k < 99; k++)
        assert_ptr_equal(map_get(&map, &k), k % 3 == 1 ? NULL : (void *)&map);
    assert_true(refused <= 1);
    map_fini(&map);
    return reached;
}

static void map_survives_every_failed_allocation(void **state)
{
    uint64_t n = 1;
    (void)state;
    while (run_with_failure(n))
        n++;
    assert_true(n > 4); /* else the hook is not linked in */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_is_empty_at_first),
        cmocka_unit_test(map_tells_oids_apart),
        cmocka_unit_test_teardown(map_agrees_with_the_model, name_seed),
        cmocka_unit_test(map_stays_small_under_churn),
        cmocka_unit_test(map_gives_memory_back),
        cmocka_unit_test(map_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
