"""A wall meter's or a BMC's log as a meter, in any form that its program writes."""
