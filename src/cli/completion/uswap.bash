# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for uswap

_uswap_pids()
{
	local pid
	for pid in /proc/[0-9]*; do
		if { tr '\0' '\n' <"$pid/environ"; } 2>/dev/null | grep -q '^USWAP_SOCKET='; then
			echo "${pid#/proc/}"
		fi
	done
}

_uswap()
{
	local cur prev words cword i
	_init_completion -n : || return

	if ((cword == 1)); then
		mapfile -t COMPREPLY < <(compgen -W 'run status detach policy retire doctor help --help --version' -- "$cur")
		return
	fi
	case ${words[1]} in
	run)
		# Behind the options comes a command with arguments of its own.
		for ((i = 2; i < cword; i++)); do
			case ${words[i]} in
			--)
				((i++))
				break
				;;
			-l | -r | --limit | --resident | --pool | --stats | --stats-interval | --placement | --file | \
				--file-size | --file-dir | --policy | --write-rate | --write-day)
				((i++))
				;;
			-*) ;;
			*) break ;;
			esac
		done
		if ((i < cword)) || [[ ${words[cword - 1]} == -- ]]; then
			_command_offset "$i"
			return
		fi
		case $prev in
		-l | -r | --limit | --resident | --pool)
			mapfile -t COMPREPLY < <(compgen -W '64M 128M 256M 512M 1G 25% 50%' -- "$cur")
			;;
		--file-size | --write-rate | --write-day)
			mapfile -t COMPREPLY < <(compgen -W '256M 1G 4G 8G' -- "$cur")
			;;
		--policy) mapfile -t COMPREPLY < <(compgen -W 'lru fifo size none' -- "$cur") ;;
		--file-dir) _filedir -d ;;
		--stats | --file) _filedir ;;
		--stats-interval) ;;
		--placement) mapfile -t COMPREPLY < <(compgen -W 'auto follow float' -- "$cur") ;;
		*)
			if [[ $cur == -* ]]; then
				mapfile -t COMPREPLY < <(compgen -W '--limit --resident --pool --stats
					--stats-interval --quiet --placement --no-readahead --file --file-size
					--file-dir --encrypt --policy --write-rate --write-day --help --' -- "$cur")
			else
				_command_offset "$cword"
			fi
			;;
		esac
		;;
	status) mapfile -t COMPREPLY < <(compgen -W "--json --help $(_uswap_pids)" -- "$cur") ;;
	detach) mapfile -t COMPREPLY < <(compgen -W "--help $(_uswap_pids)" -- "$cur") ;;
	policy)
		if [[ $prev == policy ]]; then
			mapfile -t COMPREPLY < <(compgen -W "--help $(_uswap_pids)" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W 'lru fifo size none' -- "$cur")
		fi
		;;
	retire) mapfile -t COMPREPLY < <(compgen -W "--help $(_uswap_pids)" -- "$cur") ;;
	doctor) mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$cur") ;;
	help) mapfile -t COMPREPLY < <(compgen -W 'run status detach policy retire doctor' -- "$cur") ;;
	esac
} && complete -F _uswap uswap
