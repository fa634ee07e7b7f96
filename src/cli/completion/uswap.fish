# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for uswap

function __uswap_pids
    for dir in /proc/[0-9]*
        if tr '\0' '\n' <$dir/environ 2>/dev/null | string match -q 'USWAP_SOCKET=*'
            printf '%s\t%s\n' (basename $dir) (cat $dir/comm)
        end
    end
end

set -l commands run status detach policy retire doctor help

complete -c uswap -f
complete -c uswap -n "not __fish_seen_subcommand_from $commands" -a run -d 'Run a command under a memory limit'
complete -c uswap -n "not __fish_seen_subcommand_from $commands" -a status -d 'What a running daemon holds'
complete -c uswap -n "not __fish_seen_subcommand_from $commands" -a detach -d 'Bring the pages of a process home'
complete -c uswap -n "not __fish_seen_subcommand_from $commands" -a policy -d 'Change what goes to the swap file first'
complete -c uswap -n "not __fish_seen_subcommand_from $commands" -a retire -d 'Empty the swap file into memory'
complete -c uswap -n "not __fish_seen_subcommand_from $commands" -a doctor -d 'Check kernel, permissions, limits'
complete -c uswap -n "not __fish_seen_subcommand_from $commands" -a help -d 'Show help'
complete -c uswap -n "not __fish_seen_subcommand_from $commands" -s V -l version -d 'Show version'
complete -c uswap -n '__fish_seen_subcommand_from run' -s l -l limit -x -a '64M 128M 256M 512M 1G 25%' -d 'Whole cost in RAM'
complete -c uswap -n '__fish_seen_subcommand_from run' -s r -l resident -x -a '64M 128M 256M' -d 'At most this much resident'
complete -c uswap -n '__fish_seen_subcommand_from run' -l pool -x -a '64M 128M 256M' -d 'At most this much compressed'
complete -c uswap -n '__fish_seen_subcommand_from run' -l file-size -x -a '1G 4G 8G' -d 'Write cold pages to a file of at most this size'
complete -c uswap -n '__fish_seen_subcommand_from run' -l file -r -F -d 'This file or block device'
complete -c uswap -n '__fish_seen_subcommand_from run' -l file-dir -x -a '(__fish_complete_directories)' -d 'Where the unnamed file is made'
complete -c uswap -n '__fish_seen_subcommand_from run' -l encrypt -d 'Encrypt what is written'
complete -c uswap -n '__fish_seen_subcommand_from run' -l policy -x -a 'lru fifo size none' -d 'What is written first'
complete -c uswap -n '__fish_seen_subcommand_from run' -l write-rate -x -d 'Bytes written per second at most'
complete -c uswap -n '__fish_seen_subcommand_from run' -l write-day -x -d 'Bytes written per day at most'
complete -c uswap -n '__fish_seen_subcommand_from run' -l stats -r -F -d 'Write figures as JSON'
complete -c uswap -n '__fish_seen_subcommand_from run' -l stats-interval -x -d 'Seconds between writes'
complete -c uswap -n '__fish_seen_subcommand_from run' -s q -l quiet -d 'No summary line'
complete -c uswap -n '__fish_seen_subcommand_from run' -l placement -x -a 'auto follow float' -d 'CPU of the serving thread'
complete -c uswap -n '__fish_seen_subcommand_from run' -l no-readahead -d 'Only the page asked for'
complete -c uswap -n '__fish_seen_subcommand_from run' -a '(__fish_complete_subcommand --fcs-skip=2)'
complete -c uswap -n '__fish_seen_subcommand_from status detach policy retire' -a '(__uswap_pids)'
complete -c uswap -n '__fish_seen_subcommand_from status doctor' -l json -d 'Machine readable'
