/* SPDX-License-Identifier: Apache-2.0 */
/* beckonctl, for administrators. */
#include "ctl/ctl_private.h"

int main(int argc, char **argv)
{
    return ctl_main(argc, argv, stdin, stdout, stderr);
}
