"""What several test folders share: a sign-in authority to talk to, and the tools to drive it."""
