-- One path over and over. No arguments.
require("report")
