/* tests/unit/world/dying.h - processes that die while they write. Durable writes (journals, rows,
 * charges, files that are renamed or synced) are counted for each party; at the one that was asked
 * for the party is dead: the write was done or was not, it fails, and so does every later one until
 * the party is started again. Only programs linked with dying_writes.c count anything. */
#ifndef CSL_TEST_WORLD_DYING_H
#define CSL_TEST_WORLD_DYING_H
#include <stdbool.h>
#include <stdint.h>

#define DYING_PARTIES 256
#define DYING_NOBODY  UINT32_MAX

struct dying_plan { /* all zero: nobody dies */
    uint32_t party;
    uint64_t at; /* the at-th write of the party, from 1; 0: none */
    bool is_after;
    double probability; /* of every write of every party */
    uint64_t seed;
};
enum dying_fate { DYING_NOT, DYING_BEFORE, DYING_AFTER };

void dying_begin(const struct dying_plan *plan);
void dying_enter(uint32_t party); /* whose code runs from now on */
uint32_t dying_party(void);
enum dying_fate dying_write(void);
bool dying_is_dead(uint32_t party);
void dying_revive(uint32_t party);
uint64_t dying_count(uint32_t party); /* writes */
uint32_t dying_deaths(void);

#endif
