/* vote.pml - the vote, abandon and reveal rules of secure aggregation as a model for spin: one
 * session of N1 sites, C of which help a coordinator who does what it likes.
 *
 * The coordinator shows every site the survivor set that suits it. Two sets conflict: A holds all
 * honest sites, B leaves out site 0, the victim. Opening A takes the shares of the victim's self
 * mask b, opening B those of its mask key s; with both, or with two sums that differ in one site,
 * that site's update is bare.
 *
 * Honest sites (0 to H-1) are modelled one by one with what is durable, what is in memory and what
 * has left; crashes come at any time. Helpers sign everything and give all their shares, so they
 * are constants. What was signed once can be shown to anyone for ever: messages need no channel,
 * "it was sent" is enough, and any order, repetition or loss is included.
 *
 * Checked in every reachable state:
 *   ONE_KIND   never enough shares of both b and s of one site;
 *   ONE_FATE   no honest site reveals anything where a certificate of abandonment can be shown;
 *   ONE_SUM    no site gives its update to a second attempt when the first may still be opened
 *              with it inside.
 * With -DREACH_OPEN, -DREACH_ABANDON, -DREACH_AGAIN the model must fail: what it should be able to
 * do is possible. With -DMUTANT_... one rule is broken and the model must fail as well. */

#ifndef N1
#define N1 7
#define C  2
#endif
#define H (N1 - C)

#ifdef MUTANT_QUORUM_IGNORES_HELPERS
#define TG (N1 / 2 + 1)
#else
#define TG ((N1 + C) / 2 + 1) /* two quorums share an honest site */
#endif
#define TS TG

#define FOR_A   1
#define FOR_B   2
#define ABANDON 4

byte durable[H];  /* the vote in the journal; 0: none */
byte memory[H];   /* the vote the running site knows of */
byte sent[H];     /* set of votes that left */
byte revealed[H]; /* set of transcripts for which shares left */
bool again[H];    /* gave its update to the next attempt */
byte votes_a, votes_b, votes_x, opens_a, opens_b; /* how many honest sites */

#define IN_B(i)     (i != 0)
#define QUORUM_A    (votes_a + C >= TG)
#define QUORUM_B    (votes_b + C >= TG)
#define CERTIFICATE (votes_x + C >= TG)
#ifdef MUTANT_REVEAL_WITHOUT_QUORUM
#define MAY_OPEN_A true
#define MAY_OPEN_B true
#else
#define MAY_OPEN_A QUORUM_A
#define MAY_OPEN_B QUORUM_B
#endif
#define OPEN_A      (opens_a + C >= TS)
#define OPEN_B      (opens_b + C >= TS)

inline decide(i, choice)
{
#ifdef MUTANT_VOTE_BEFORE_JOURNAL
    memory[i] = choice;
#else
    durable[i] = choice; /* journal first */
    memory[i] = choice;
#endif
}

inline check()
{
    byte k = 0;
    assert(!(OPEN_A && OPEN_B)); /* ONE_KIND, for the victim: b by A, s by B */
    assert(!(CERTIFICATE && opens_a + opens_b > 0)); /* ONE_FATE */
    do
    :: k < H ->
        assert(!(again[k] && OPEN_A));
        assert(!(again[k] && OPEN_B && IN_B(k))); /* ONE_SUM */
        k++
    :: else -> break
    od;
    k = 0;
#ifdef REACH_OPEN
    assert(!OPEN_A);
#endif
#ifdef REACH_ABANDON
    assert(!CERTIFICATE);
#endif
#ifdef REACH_AGAIN
    assert(!again[0]);
#endif
    skip
}

active proctype world()
{
    byte i;
    do
    :: select(i : 0 .. H - 1);
        atomic {
            if
            /* a vote: once, for a set that the site is in, or to abandon */
            :: memory[i] == 0 -> decide(i, FOR_A)
            :: memory[i] == 0 && IN_B(i) -> decide(i, FOR_B)
            :: memory[i] == 0 -> decide(i, ABANDON)
#ifdef MUTANT_VOTE_BEFORE_JOURNAL
            :: memory[i] != 0 -> durable[i] = memory[i]
#endif
            /* it leaves, once or often */
            :: memory[i] != 0 && !(sent[i] & memory[i]) ->
                sent[i] = sent[i] | memory[i];
                if
                :: memory[i] == FOR_A -> votes_a++
                :: memory[i] == FOR_B -> votes_b++
                :: memory[i] == ABANDON -> votes_x++
                fi
            /* shares: for the transcript the site itself voted for, before its quorum */
            :: memory[i] == FOR_A && !(revealed[i] & FOR_A) && MAY_OPEN_A ->
                revealed[i] = revealed[i] | FOR_A; opens_a++
            :: memory[i] == FOR_B && !(revealed[i] & FOR_B) && MAY_OPEN_B ->
                revealed[i] = revealed[i] | FOR_B; opens_b++
#ifdef MUTANT_REVEAL_AS_ASKED
            :: QUORUM_A && memory[i] == FOR_A && !(revealed[i] & FOR_B) ->
                revealed[i] = revealed[i] | FOR_B; opens_b++ /* a list out of the request */
#endif
            /* the same update in the next attempt: abandoned, or left out by a quorum */
            :: !again[i] && CERTIFICATE -> again[i] = true
            :: !again[i] && QUORUM_B && !IN_B(i) -> again[i] = true
#ifdef MUTANT_OWN_VOTE_IS_ENOUGH
            :: !again[i] && memory[i] == ABANDON -> again[i] = true
#endif
            /* a crash: what is not durable is forgotten */
            :: memory[i] = durable[i]
            fi;
            check()
        }
    od
}
