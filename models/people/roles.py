"""Which roles, scopes and bounds there are: names that rules, shapes and pages share."""

ROLES = {
    "technician": "Technician",
    "verifier": "Verifier",
    "doctor": "Doctor",
    "nurse": "Nurse",
    "radiology_technician": "Radiology technician",
    "supervisor": "Supervisor",
    "administrator": "Administrator",
}
ROLE_HINTS = {
    "technician": "Orders, sends, fetches and enters",
    "verifier": "Verifies and releases results",
    "doctor": "Orders, and reads released results",
    "nurse": "Enters and reads vital signs, takes alerts over, and gives devices to patients",
    "radiology_technician": "Images and their patients",
    "supervisor": "Technician and verifier, and resolves what is held",
    "administrator": "Users, equipment, catalogue; no patients",
}
IMPLIED = {"supervisor": frozenset({"technician", "verifier"})}
REGISTRARS = ("technician", "radiology_technician")
"""Who registers and edits patients (supervisors too, being technicians)."""
CLINICAL = ("technician", "verifier", "doctor", "nurse", "radiology_technician", "supervisor")
"""Roles that may see patients; an administrator runs the installation and does not."""
BEDSIDE = ("technician", "doctor", "nurse")
"""Who reads and enters vital signs, and says whose a device is (supervisors too, being technicians)."""
RADIOLOGY = ("doctor", "radiology_technician")
"""Who sees images and gets addresses of them. What has no order yet, the technicians alone see."""
ALERT_TAKERS = ("doctor", "nurse", "supervisor")
"""Who acknowledges an alert, with a read-back."""
ALERT_DECIDERS = ("doctor", "supervisor")
"""Who closes an alert, and sets the limits of the laboratory and of patients."""

SCOPES = {
    "read": "Read whatever the user's roles may read",
    "write": "Change whatever the user's roles may change, users and tokens excepted",
    "patients:read": "Read patients",
    "patients:write": "Create, edit and merge patients",
    "assignments:read": "Read assignments and results",
    "assignments:write": "Order, send, enter, verify and release",
    "instruments:read": "Read equipment and the test catalogue",
    "instruments:write": "Change equipment and the test catalogue",
    "vitals:read": "Read devices and vital signs",
    "vitals:write": "Change devices, enter vital signs, decide about held ones",
    "imaging:read": "Read radiology orders, studies and images",
    "imaging:write": "Order, upload, assign and review images",
    "people:read": "Read users and who looked at whom",
    "people:write": "Create, change and disable users",
    "results:push": "Deliver finished results of the one instrument the token is bound to",
}
GRANTABLE = {scope: meaning for scope, meaning in SCOPES.items() if scope != "results:push"}
"""What somebody may grant a token of their own; `results:push` is what the push key of an instrument may do."""
PERSON = "person"
"""What no token can do: only somebody who signed in with a password."""
NOT_IN_WRITE = frozenset({"people:write", "results:push", PERSON})

PASSWORD_SHORTEST = 10
"""NIST SP 800-63B asks for 8 at least; length is the only thing asked for besides not being well known."""
PASSWORD_LONGEST = 200
