/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's word about this computer's network. In a network namespace of its own, where one may be had. */
#include "unit/net/net_test.h"

#include "net/watch.h"

#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool own_network; /* lo, and it is down */
static int n_changes;

static void on_changed(void *ctx)
{
    assert_string_equal(ctx, "mine");
    n_changes++;
}

static void set_loopback(bool up)
{
    struct ifreq request = { 0 };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "lo");
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
    request.ifr_flags =
        (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~(short)IFF_UP);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    (void)close(fd);
}

static void what_comes_and_goes_is_told_once_each(void **state)
{
    (void)state;
    if (!own_network)
        skip();
    struct bk_loop *loop;
    struct bk_netwatch *watch;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    assert_int_equal(bk_netwatch_create(loop, on_changed, (void *)"mine", &watch), 0);
    n_changes = 0;
    set_loopback(true); /* a link, addresses and routes: several words of the kernel */
    AWAIT(loop, n_changes == 1);
    set_loopback(false);
    AWAIT(loop, n_changes == 2);
    /* Down and up again before anybody looked: the same picture, so nothing is told; the next change is. */
    set_loopback(true);
    set_loopback(false);
    set_loopback(true);
    AWAIT(loop, n_changes == 3);
    set_loopback(false);
    set_loopback(true);
    for (int64_t until = bk_clock_mono_ms(&bk_clock_system) + 400;
         bk_clock_mono_ms(&bk_clock_system) < until;)
        (void)bk_loop_step(loop, 50);
    assert_int_equal(n_changes, 3);
    set_loopback(false);
    AWAIT(loop, n_changes == 4);
    (void)bk_netwatch_destroy(watch);
    (void)bk_loop_destroy(loop);
}

static void a_watch_that_ends_tells_nothing_more(void **state)
{
    (void)state;
    struct bk_loop *loop;
    struct bk_netwatch *watch;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    assert_int_equal(bk_netwatch_create(loop, on_changed, (void *)"mine", &watch), 0);
    n_changes = 0;
    if (own_network)
        set_loopback(true);
    (void)bk_loop_step(loop, 0); /* heard, and not looked at yet */
    assert_null(bk_netwatch_destroy(watch));
    assert_null(bk_netwatch_destroy(NULL));
    for (int64_t until = bk_clock_mono_ms(&bk_clock_system) + 300;
         bk_clock_mono_ms(&bk_clock_system) < until;)
        (void)bk_loop_step(loop, 50);
    assert_int_equal(n_changes, 0);
    (void)bk_loop_destroy(loop);
    if (own_network)
        set_loopback(false);
}

static void a_way_needs_an_address_and_a_route(void **state)
{
    (void)state;
    struct bk_addr here, there, far, other;
    assert_int_equal(bk_addr_parse("127.0.0.1", 4711, &here), 0);
    assert_int_equal(bk_addr_parse("127.0.0.1", 5061, &there), 0);
    assert_int_equal(bk_addr_parse("192.0.2.1", 5061, &far), 0);
    assert_int_equal(bk_addr_parse("192.0.2.7", 4711, &other), 0);
    assert_false(bk_net_has_way(&other, &far)); /* nobody's address */
    if (!own_network)
        return;
    set_loopback(true);
    assert_true(bk_net_has_way(&here, &there));
    assert_false(bk_net_has_way(&here, &far));
    set_loopback(false);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_and_goes_is_told_once_each),
        cmocka_unit_test(a_watch_that_ends_tells_nothing_more),
        cmocka_unit_test(a_way_needs_an_address_and_a_route),
    };
    own_network = unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
    if (!own_network)
        print_message("no network namespace here: only what needs none is tested\n");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
