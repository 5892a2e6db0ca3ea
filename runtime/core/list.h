/* list.h - an intrusive, doubly linked, circular list. */
#ifndef COVEY_CORE_LIST_H
#define COVEY_CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_push(struct list *head, struct list *item) /* at the end */
{
    item->next = head; item->prev = head->prev;
    head->prev->next = item; head->prev = item;
}
static inline void list_push_front(struct list *head, struct list *item)
{
    list_push(head->next, item);
}
static inline void list_del(struct list *item) /* may be called twice */
{
    item->prev->next = item->next; item->next->prev = item->prev;
    list_init(item);
}
#define list_entry(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
/* Safe against deleting @it; not against deleting the one after. */
#define list_each(it, head) \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

#endif
