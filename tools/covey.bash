# covey.bash - completion for the covey command.  The words come from the
# command itself, so this file knows none of them.
_covey()
{
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$(covey _words 2>/dev/null)" -- "$word")
    elif [[ $command == run && $word != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -c -f -- "$word")
    elif [[ $command == list && $word != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "tasks workers objects nodes" -- "$word")
    elif [[ $command == sweep && $word != -* ]] && ((COMP_CWORD > 2)); then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames 2>/dev/null
    else
        mapfile -t COMPREPLY < <(compgen -W "$(covey _words "$command" 2>/dev/null)" -- "$word")
        [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
    fi
}
complete -F _covey covey
