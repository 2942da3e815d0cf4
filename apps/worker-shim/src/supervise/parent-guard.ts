/**
 * The shell program between the shim and an engine that it starts, so that no engine ever outlives its shim.
 *
 * It runs as leader of its own process group. Its standard input is a pipe that only the shim holds open; when the shim
 * ends, however it ends, the pipe closes and the whole group gets SIGTERM, then SIGKILL. Otherwise it waits for the
 * engine and exits with its status. The engine keeps default signal handling, because signals are ignored only after
 * it has been started.
 */
export const PARENT_GUARD = `
exec 3<&0
"$@" </dev/null 3<&- &
engine=$!
trap '' TERM INT HUP
{
  cat <&3
  kill -TERM 0
  i=0
  while [ $i -lt 50 ] && kill -0 $engine; do sleep 0.1; i=$((i + 1)); done
  kill -KILL 0
} >/dev/null 2>&1 &
exec 3<&-
wait $engine
`;
