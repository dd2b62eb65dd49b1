/** Style sheets of libraries, which the bundle loads with the code that needs them. */
declare module "@xterm/xterm/css/xterm.css";
