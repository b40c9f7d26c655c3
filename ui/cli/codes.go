package cli

// Code is the stable name of an error. A script may match it.
type Code string

// The codes of this package.
const (
	CodeUsage       Code = "AGENTOS-USAGE"
	CodeNeighbour   Code = "AGENTOS-OTHER-TOOL"
	CodeNotYet      Code = "AGENTOS-NOT-YET"
	CodeManifest    Code = "AGENTOS-MANIFEST"
	CodePolicyFile  Code = "AGENTOS-POLICY-FILE"
	CodeOutput      Code = "AGENTOS-OUTPUT-FILE"
	CodeUnenforced  Code = "AGENTOS-UNENFORCED"
	CodeTerminal    Code = "AGENTOS-NO-TERMINAL"
	CodeNotFound    Code = "AGENTOS-NOT-FOUND"
	CodeNotRunnable Code = "AGENTOS-NOT-RUNNABLE"
	CodeUnreadable  Code = "AGENTOS-UNREADABLE"
	CodeNotVisible  Code = "AGENTOS-NOT-VISIBLE"
	CodeNative      Code = "AGENTOS-NO-NATIVE"
	CodeNoCompile   Code = "AGENTOS-NO-COMPILE"
	CodeCompile     Code = "AGENTOS-COMPILE"
	CodeState       Code = "AGENTOS-STATE"
	CodeNoRun       Code = "AGENTOS-NO-RUN"
	CodeNoDenial    Code = "AGENTOS-NO-DENIAL"
	CodeAudit       Code = "AGENTOS-AUDIT"
	CodeControl     Code = "AGENTOS-CONTROL"
	CodeSetup       Code = "AGENTOS-SETUP"
	CodeInterrupted Code = "AGENTOS-INTERRUPTED"
	CodeDemo        Code = "AGENTOS-DEMO"
	CodeNothing     Code = "AGENTOS-NOTHING-CAPTURED"
	CodeLive        Code = "AGENTOS-RUN-LIVE"
	CodeBusy        Code = "AGENTOS-RUN-BUSY"
	CodeNoChange    Code = "AGENTOS-NO-CHANGE"
	CodeConflict    Code = "AGENTOS-COMMIT-CONFLICT"
	CodeUnnamed     Code = "AGENTOS-COMMIT-UNNAMED"
	CodeRefused     Code = "AGENTOS-COMMIT-REFUSED"
	CodeBlocked     Code = "AGENTOS-COMMIT-BLOCKED"
	CodeFailed      Code = "AGENTOS-COMMIT-FAILED"
	CodeWindows     Code = "AGENTOS-NO-WINDOWS" // said by the command itself
)

// codeRow documents one code.
type codeRow struct {
	Code    Code
	Status  string // the exit status that goes with it, "" for a denial
	Meaning string
	Remedy  string
}

// codes lists every stable code of the whole program, in the order in which
// docs/ERRORS.md has them. A test holds that no code stands in the source
// without a row here.
func codes() []codeRow {
	return []codeRow{
		{CodeUsage, "125", "A command, flag, or value was not understood.", "The message names the flag and what it takes; `--help` has an example."},
		{CodeNeighbour, "125", "A flag or command of a neighbouring tool was used.", "The message names the one that is meant."},
		{CodeNotYet, "125", "The flag or command is planned but not part of this version.", "Leave it out; the message says what works today."},
		{CodeManifest, "125", "A manifest could not be read, or has an error at the line and column given.", "docs/MANIFEST.md has the schema."},
		{CodePolicyFile, "125", "A file of policies could not be read, or has an error at the line and column given.", "docs/POLICIES.md has the schema; `agentos policy check FILE` checks without running anything."},
		{CodeOutput, "125", "A file named by --report or --events cannot be written.", "Name a path in a directory that you may write to."},
		{"AGENTOS-GRANT", "125", "A path that was to be granted does not exist, cannot be opened, or may never be granted.", "The message names it; create it, or grant an existing directory above it."},
		{CodeUnenforced, "125", "A limit or protection that was asked for cannot be enforced on this host or for this kind of program.", "Leave it out, or pass --best-effort; the report then says what was missing."},
		{CodeTerminal, "125", "-t was given, but there is no terminal to pass through.", "Run it from a terminal, or leave -t out."},
		{CodeNotFound, "127", "The program was not found.", "Name a path with a slash, or a program on your PATH."},
		{CodeNotRunnable, "126", "The program was found, but it is not something that can be run.", "The message says what it is and what would run."},
		{"AGENTOS-TOO-COSTLY", "126", "Compiling the program took more time or memory than is allowed for that.", "Real programs do not; one that was made to is refused."},
		{CodeUnreadable, "126", "The program was found, but may not be read.", "Check its permissions and those of the directories above it."},
		{CodeNotVisible, "126", "The program, or an interpreter that it needs, leads to a file that it could not see: a version manager's shim, a virtual environment, a private directory.", "The message names the real file and the grant that shows it; `--toolchain` grants the installation."},
		{"AGENTOS-NOT-EXECUTABLE", "126", "The program was found, but may not be executed.", "chmod +x, or copy it to a file system that is not mounted noexec."},
		{"AGENTOS-WRONG-ARCH", "126", "The program is for another processor or operating system.", "Build or install it for this machine; the message names both."},
		{"AGENTOS-NO-INTERPRETER", "126", "The interpreter or dynamic loader that the program asks for is not there.", "The message names it; install it, or name another in the #! line."},
		{CodeNative, "126", "The program is native, and this kernel runs WebAssembly modules only.", "Compile it to WebAssembly, e.g. with GOOS=wasip1 GOARCH=wasm go build; native programs run on Linux."},
		{CodeNoCompile, "126", "The program is Go source, and there is nothing here to compile it with: no Go on your PATH, or no native domain to run it in.", "The message names which; or compile it yourself: GOOS=wasip1 GOARCH=wasm go build -o program.wasm."},
		{CodeCompile, "126", "The program is Go source that does not compile, or no program.", "What the compiler says stands above the message."},
		{CodeState, "125", "The state directory cannot be used, and the command needs it.", "The message says what is wrong with it; $AGENTOS_STATE names another."},
		{CodeNoRun, "125", "No run has that id.", "`agentos runs` lists those that there are."},
		{CodeNoDenial, "125", "There is no denial that could be explained: none with that event, none about that path, or none at all.", "`agentos report RUN` lists the denials of a run; `agentos explain --path PATH` asks without a run."},
		{CodeAudit, "125, 1", "The audit log cannot be written, and --require-audit insists on it; or, from `agentos audit verify` with status 1, the log is not what it was.", "The message says what is wrong; $AGENTOS_STATE names another place."},
		{CodeControl, "125", "The kernel of a run cannot be reached.", "It may just have ended; `agentos ps` lists the live ones."},
		{"AGENTOS-NOT-GRANTED", "125", "What was to be revoked is nothing that the program has.", "The report's view says what it has; name the path as the host or the program has it."},
		{"AGENTOS-CANNOT-RECALL", "125", "A native program cannot be made to give back what it has opened, mapped, or been shown; nothing was changed.", "`agentos revoke --hard` ends it."},
		{"AGENTOS-EXCEEDS", "125", "A process was to have more than the one that it is to be within.", "The message names what exceeds; leave it out, or give it to that one first."},
		{"AGENTOS-NOT-STARTED", "125", "The program of the run has not started yet, and cannot be given more.", "Try again in a moment."},
		{CodeSetup, "125", "The kernel could not prepare the run.", "The message says what failed."},
		{CodeInterrupted, "128+N", "A signal came before the program had started.", "Nothing ran."},
		{CodeDemo, "1", "A program of the demonstration did not end as it should have.", "Please report it, with the output."},
		{CodeNothing, "125", "The run has no captured writes, or all were committed or discarded.", "`agentos run --overlay DIR` captures what a program writes."},
		{CodeLive, "125", "The run whose captured writes are wanted is still going on.", "`agentos wait RUN` waits for its end."},
		{CodeBusy, "125", "Another agentos commits or discards the captured writes of the run.", "Try again when it is done."},
		{CodeNoChange, "125", "Nothing was captured at or beneath a path that was named.", "`agentos diff --stat RUN` lists what was."},
		{CodeConflict, "1", "The host changed since the run began, so that the captured change is not written over it.", "Compare the two; `agentos commit --force RUN PATH` writes it all the same."},
		{CodeUnnamed, "1", "The captured file makes other programs run code, or is executable, and was not named itself.", "`agentos commit RUN PATH`, if you have looked at it."},
		{CodeRefused, "1", "The captured change is of a kind that is never committed: a symbolic link that leaves the directory, or neither file, directory, nor link.", "Copy or make it yourself."},
		{CodeBlocked, "1", "The captured change needs another that was not committed.", "Deal with that one first; the message names it."},
		{CodeFailed, "1", "The host refused the change, or its content cannot be read.", "The message says why; run the commit again when it is mended."},
		{CodeWindows, "125", "AgentOS was started on Windows.", "Run it on Linux or macOS, or inside the Windows Subsystem for Linux."},
		{"AGENTOS-DENIED-CAPABILITY", "", "Layer 1: the program lacks the capability that the operation needs.", "--allow CAPABILITY."},
		{"AGENTOS-DENIED-UNGRANTED", "", "Layer 2: no grant covers the path.", "--read PATH, or --write PATH if it is to be changed."},
		{"AGENTOS-DENIED-READ-ONLY", "", "Layer 2: the grant that covers the path only reads.", "--write PATH."},
		{"AGENTOS-DENIED-DENIED", "", "Layer 2: --deny covers the path.", "Take the --deny away."},
		{"AGENTOS-DENIED-PROTECTED", "", "Layer 2: the file makes other programs run code, so that a write grant around it does not cover it.", "--unprotect PATH."},
		{"AGENTOS-DENIED-REVOKED", "", "Layer 2: the path was granted and taken back while the program ran.", "`agentos grant RUN --read PATH` gives it back."},
		{"AGENTOS-DENIED-HIDDEN", "", "Layer 2: the path exists on the host, and the program cannot see it.", "--read PATH."},
		{"AGENTOS-DENIED-POLICY", "126", "Layer 3: a policy forbids it. As an exit status: it forbids the start of the program.", "The message names the policy, its file, and its line; no flag lifts it but leaving the policy out."},
		{"AGENTOS-DENIED-LIMIT", "", "A limit refused the operation.", "The flag of that limit: --memory, --disk, --files, --output, --pids."},
	}
}
